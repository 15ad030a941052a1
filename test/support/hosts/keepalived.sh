#!/bin/sh
# keepalived with a VRRP address of each family; the arguments are the addresses with their prefix lengths, and where they
# are: the interface and the priority. With 200, the default on up0, it is the master, and ready when it has the addresses.
set -eu
interface=${3:-up0}
priority=${4:-200}
cat >/mnt/keepalived.conf <<END
global_defs {
  vrrp_version 3
}
vrrp_instance one {
  state $([ "$priority" = 200 ] && echo MASTER || echo BACKUP)
  interface $interface
  virtual_router_id 51
  priority $priority
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
if [ "$priority" = 200 ]; then
  await_done $$ sh -c "ip addr show dev $interface | grep -F $2 | grep -v tentative"
else
  await_done $$ test -s /run/keepalived.pid
fi
