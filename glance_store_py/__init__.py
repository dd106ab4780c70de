"""Named stores for image data behind one small driver interface."""
