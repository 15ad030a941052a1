#!/bin/sh
# keepalived as the master of a VRRP address of each family on up0; the arguments are the addresses with their prefix lengths.
set -eu
cat >/mnt/keepalived.conf <<END
global_defs {
  vrrp_version 3
}
vrrp_instance one {
  state MASTER
  interface up0
  virtual_router_id 51
  priority 200
  advert_int 0.1
  virtual_ipaddress {
    $1
  }
  virtual_ipaddress_excluded {
    $2
  }
}
END
cat >/mnt/start-keepalived <<END
keepalived --vrrp --log-console -f /mnt/keepalived.conf >/mnt/log 2>&1
END
sh /mnt/start-keepalived
await_done $$ sh -c "ip addr show dev up0 | grep -F $2 | grep -v tentative"
