"""Named stores for image data behind one small driver interface.

``stores.Stores`` is the way in; ``driver.Driver`` is what a storage backend
implements; ``testing.DriverContract`` proves that it does so rightly.  This
package knows objects and bytes, not images: no hashes, no formats, no policy,
and nothing of the service that uses it.
"""
