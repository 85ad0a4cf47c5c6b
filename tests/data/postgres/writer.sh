#!/bin/sh
# Inserts numbers, one a transaction, and prints each one that it was told is committed, with the time in milliseconds.
#
#   writer.sh FIRST SECONDS [HOST]      # through the proxy on HOST, by default that of this machine
#
# It runs where psql is, as in `docker exec -i postgres-proxy sh -s 1 60 < writer.sh`. Whether a number was committed
# that is not printed, nobody knows. So each is tried once only.

number=$1
until=$(($(date +%s) + $2))
export PGHOST="${3:-$LAB_ADDRESS}" PGPORT=6432 PGUSER=postgres PGPASSWORD="$POSTGRES_PASSWORD" PGCONNECT_TIMEOUT=2

psql -qc 'create table if not exists numbers (number bigint primary key)' || exit

while [ "$(date +%s)" -lt "$until" ]; do
    # A warning says that it is committed here only, which is no promise.
    said=$(timeout 2 psql -c "insert into numbers values ($number)" 2>&1)
    [ "$said" = 'INSERT 0 1' ] && echo "$number $(date +%s%3N)"
    number=$((number + 1))
done
