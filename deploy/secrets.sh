#!/bin/sh
# Makes the secrets of a registry in containers, once: secrets.sh FOLDER. What is there is never replaced, since the
# master key opens everything that the registry sealed.
#
# The files belong to the user of the container (10001), so this runs as root.
set -eu

folder=${1:?usage: secrets.sh FOLDER}
umask 077
mkdir -p "$folder"

random() { # COUNT of letters and digits
    head -c 4096 /dev/urandom | LC_ALL=C tr -dc "${2:-A-Za-z0-9}" | head -c "$1"
}

write() { # NAME, from standard input
    if [ -e "$folder/$1" ]; then
        cat >/dev/null
    else
        cat >"$folder/$1.new" && mv "$folder/$1.new" "$folder/$1"
    fi
}

head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' | write master_key
printf 'AKIA%s' "$(random 16 A-Z2-7)" | write administrator_access_key_id
random 40 | write administrator_secret_access_key
random 40 | write postgres_password
printf 'postgresql://homeport:%s@postgres/homeport' "$(cat "$folder/postgres_password")" | write database
random 20 A-Z0-9 | write storage_access_key_id
random 40 | write storage_secret_access_key
printf '{"identities": [{"name": "homeport", "actions": ["Admin"], "credentials": [{"accessKey": "%s", "secretKey": "%s"}]}]}' \
    "$(cat "$folder/storage_access_key_id")" "$(cat "$folder/storage_secret_access_key")" | write objects.json

for name in database master_key storage_access_key_id storage_secret_access_key administrator_access_key_id \
    administrator_secret_access_key; do
    chown 10001:10001 "$folder/$name"
    chmod 0400 "$folder/$name"
done
echo "The secrets are in $folder. Administrator: $(cat "$folder/administrator_access_key_id")"
