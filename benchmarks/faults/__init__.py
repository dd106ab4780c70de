"""Fault campaign: several API hosts under load while networks, processes and stores fail.

    python -m benchmarks.faults --seed 7 --faults 20 --database postgresql --store file
    python -m benchmarks.faults --all --faults 500

Black box: it starts real ``glance-api`` processes, puts proxies between them and what they
need, injects the faults that a seed gives, and keeps a shadow record of everything that was
acknowledged to its clients.  Afterwards nothing acknowledged may be lost, nothing may be
stuck and nothing may be left behind.  Ends with status 1 when something is.

``schedule``   the faults of a seed
``proxy``      TCP proxies that fail, and what they recognise in SQL and HTTP traffic
``processes``  API hosts and registries as processes
``backends``   databases and stores
``inject``     makes a fault happen, and end
``shadow``     the answers that clients got
``workload``   the clients
``observe``    the state after the faults
``verify``     compares both
``campaign``   one combination of database and store from begin to end
"""
