#compdef ilm
# zsh completion for ilm; made by "ilm completion zsh"
_ilm() {
  local -a commands
  local state line
  commands=(
    'status:show whether rules are active, since when, and any warnings'
    'mappings:show the active mappings, their counters, and which listener would get a connection now'
    'wait:wait until mappings have a listener'
    'history:show the changes of the rules: when, by whom, from what, and what changed'
    'export:print what is active as a configuration that `apply` takes'
    'listeners:show who listens where, and which mappings lead there'
    'flows:show the UDP clients that mappings brought to daemons, and what each dialled'
    'metrics:print the metrics in the text format of Prometheus'
    'explain:show step by step what becomes of a packet, by the active rules or those of a file'
    'monitor:show decisions as they are made'
    'audit:show who listens where it should not, who is missing, and what was refused'
    'doctor:check kernel, privileges, mounts and neighbours, each with its remedy'
    'address:show the addresses of services, also those that address: auto would give'
    'hosts:print the addresses of services as lines of /etc/hosts'
    'check:check a configuration without touching anything'
    'diff:show what apply would change'
    'import:print the rules of tubular, nftables or iptables as a configuration'
    'run:activate rules, then keep running: follow listeners and the file, serve the API and metrics'
    'apply:apply a configuration in one atomic step, then exit'
    'adopt:move the daemons that listen on every address to addresses of their own'
    'reload:have the running `ilm run` read its file again, and wait for it'
    'add:add mappings at run time'
    'remove:remove mappings that were added at run time'
    'drain:let a destination get nobody new, so that it empties'
    'undrain:let a drained destination get new connections again'
    'rollback:make the rules of an earlier change active again'
    'confirm:keep a change that was made with --confirm'
    'off:switch all mappings off at once, and keep everything for `ilm on`'
    'on:switch the mappings on again, after `ilm off`'
    'unload:detach and remove everything'
    'demo:show ilm at work in private network namespaces with sample daemons'
    'schema:print the JSON Schema of the configuration, for editors'
    'completion:print a completion script for a shell'
    'help:show help for a command'
  )
  _arguments -C '(-V --version)-V[show the version]' \
    '(-V --version)--version[show the version]' \
    '--json[print JSON, on standard output alone]' \
    '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
    '--wide[do not fit tables into the terminal]' \
    '--no-color[no colours; NO_COLOR in the environment does the same]' \
    '(-h --help)-h[show help]' \
    '(-h --help)--help[show help]' \
    '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument)
      case $line[1] in
        status)
          _arguments '--check[end with status 1 unless all is well, for monitoring]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' ;;
        mappings)
          _arguments '--protocol[only mappings for tcp, or for udp]:PROTOCOL:(tcp udp)' \
            '--on[only mappings for this dialled address, or for one of this prefix; those for every address, too]:PREFIX: ' \
            '--port[only mappings for this port, or one of a range: 8000-8099]:PORT: ' \
            '--to[only mappings that lead there: an address or a service, with or without a port]:DESTINATION:{ compadd -- ${(f)"$(ilm address --names 2>/dev/null)"} }' \
            '--limit[show at most this many, from the first]:NUMBER: ' \
            '--sort[in this order (default: rules)]:ORDER:(rules name port selected missed rate connections)' \
            '--rate[measure how often each is used in a second, for this long (default: 1)]:SECONDS: ' \
            '--down[only mappings that give nothing new to anyone: all of it, or over one family]' \
            '--degraded[only mappings of which one of several destinations is down]' \
            '--added[only mappings that were added at run time]' \
            '--connections[count what is open at each destination]' \
            '--names[only the names, one on a line, for scripts and completion]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            '*:only the mappings with these names:{ compadd -- ${(f)"$(ilm mappings --names 2>/dev/null)"} }' ;;
        wait)
          _arguments '--timeout[give up after this long (60, 90s, 10m, 1h30m; default: 30)]:TIME: ' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            '*:mappings or services:{ compadd -- ${(f)"$(ilm mappings --names 2>/dev/null; ilm address --names 2>/dev/null)"} }' ;;
        history)
          _arguments '--limit[show at most this many changes (default: 20); of one, this many of each kind]:NUMBER: ' \
            '--summary[of one change, show how much differs, in one line]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            ':show this change in full: ' ;;
        export)
          _arguments '--file-only[leave out mappings that were added at run time]' \
            '--runtime[only the mappings that were added at run time, with the services]' \
            '--ndjson[one mapping on a line, which `apply` reads fastest, for many]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' ;;
        listeners)
          _arguments '--mapped[only listeners that a mapping leads to]' \
            '--limit[show at most this many, from the first]:NUMBER: ' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' ;;
        flows)
          _arguments '--limit[show at most this many, the latest]:NUMBER: ' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' ;;
        metrics)
          _arguments '--metrics-limit[with more mappings than this, the metrics have totals instead of series for each (default: 10000)]:NUMBER: ' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' ;;
        explain)
          _arguments '*-f[configuration: a file, a folder of files, or - for standard input; several are read as one]:FILE:_files' \
            '*--file[configuration: a file, a folder of files, or - for standard input; several are read as one]:FILE:_files' \
            '--from[the client (default: 198.51.100.7 or 2001:db8:ffff::7, with any port)]:ADDRESS:PORT: ' \
            '--interface[the interface that the packet comes in on (default: the one that has the address; with -f, none that is known)]:NAME:_net_interfaces' \
            '--listening[with -f: answer as if only this listened, or only these when given several times]:ADDRESS:PORT: ' \
            '--expect[end with status 1 unless this is the answer, for tests]:WHAT: ' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            ':tcp or udp, or - for a list on standard input:(tcp udp -)' \
            ':what the client dials\: 203.0.113.5\:443 or [2001\:db8\:\:5]\:443: ' ;;
        monitor)
          _arguments '--protocol[only decisions for tcp, or for udp]:PROTOCOL:(tcp udp)' \
            '--on[only what was dialled at this address, or inside this prefix]:PREFIX: ' \
            '--port[only what was dialled at this port, or in this range]:PORT: ' \
            '--from[only clients with this address, or inside this prefix]:PREFIX: ' \
            '--mapping[only decisions of the mappings with these names]:MAPPING...:{ compadd -- ${(f)"$(ilm mappings --names 2>/dev/null)"} }' \
            '--verdict[only decisions that came to this]:VERDICT...:(existing selected missed rejected)' \
            '--sample[show one of N of these decisions, chosen at random]:N: ' \
            '--rate[show at most this many a second (default: 2000)]:N: ' \
            '--count[end after this many decisions]:N: ' \
            '--seconds[end after this many seconds]:N: ' \
            '--summary[with --json, print the counts of all decisions on the last line]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' ;;
        audit)
          _arguments '--kind[only findings of these kinds]:KIND...:(wildcard foreign-address mapped-port service-unserved mapping-unserved destination-elsewhere address-missing privilege refused reported)' \
            '--limit[show at most this many, from the first]:NUMBER: ' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' ;;
        doctor)
          _arguments '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' ;;
        address)
          _arguments '*-f[configuration: a file, a folder of files, or - for standard input; several are read as one]:FILE:_files' \
            '*--file[configuration: a file, a folder of files, or - for standard input; several are read as one]:FILE:_files' \
            '--names[only the names, one on a line, for scripts and completion]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            '*:only the services of these names:{ compadd -- ${(f)"$(ilm address --names 2>/dev/null)"} }' ;;
        hosts)
          _arguments '*-f[configuration: a file, a folder of files, or - for standard input; several are read as one]:FILE:_files' \
            '*--file[configuration: a file, a folder of files, or - for standard input; several are read as one]:FILE:_files' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' ;;
        check)
          _arguments '*-f[configuration: a file, a folder of files, or - for standard input; several are read as one]:FILE:_files' \
            '*--file[configuration: a file, a folder of files, or - for standard input; several are read as one]:FILE:_files' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            '*:mappings beside those of the file, e.g. tcp\:8080=127.0.1.10\:80: ' ;;
        diff)
          _arguments '*-f[configuration: a file, a folder of files, or - for standard input; several are read as one]:FILE:_files' \
            '*--file[configuration: a file, a folder of files, or - for standard input; several are read as one]:FILE:_files' \
            '--against[compare with this configuration, and not with the active rules]:FILE:_files' \
            '--summary[show how much differs, in one line]' \
            '--limit[how much of each kind to show at most]:NUMBER: ' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            '*:mappings beside those of the file, e.g. tcp\:8080=127.0.1.10\:80: ' ;;
        import)
          _arguments '--label[where a label of tubular leads, e.g. web=127.0.1.10:80]:LABEL=DESTINATION...: ' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            ':where the rules come from:(tubular nft)' \
            '*:bindings as JSON; nft\: what `nft -j list ruleset`, iptables-save and ip6tables-save print, default\: ask them:_files' ;;
        run)
          _arguments '*-f[configuration: a file, or a folder of files; several are read as one]:FILE:_files' \
            '*--file[configuration: a file, or a folder of files; several are read as one]:FILE:_files' \
            '--readers[members of this group may read over the API: `ilm status`, `ilm mappings`, metrics and events]:GROUP: ' \
            '--writers[members of this group may read and change over the API: also `ilm apply`, add, remove, drain, off, on and unload]:GROUP: ' \
            '--keep[capabilities to keep as well, separated by commas; `all` gives up none]:CAPABILITIES: ' \
            '--metrics[serve /metrics over HTTP there, e.g. 127.0.0.1:9465 or \[::1\]:9465, to whoever can reach it; may be given several times]:ADDRESS:PORT: ' \
            '--metrics-limit[with more mappings than this, the metrics have totals instead of series for each (default: 10000)]:NUMBER: ' \
            '--replace[let mappings that are given without a file take the place of the active file'\''s, and a file that of mappings given as arguments]' \
            '--over-newer[also replace rules that a newer version of ilm made; mappings added at run time and counters are lost]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            '*:mappings beside those of the file, e.g. tcp\:8080=127.0.1.10\:80: ' ;;
        apply)
          _arguments '*-f[configuration: a file, a folder of files, or - for standard input; several are read as one]:FILE:_files' \
            '*--file[configuration: a file, a folder of files, or - for standard input; several are read as one]:FILE:_files' \
            '--replace[let mappings that are given without a file take the place of the active file'\''s, and a file that of mappings given as arguments]' \
            '--dry-run[change nothing: show what would change, as `ilm diff` does, or why it would fail]' \
            '--summary[with --dry-run: show how much differs, in one line]' \
            '--limit[with --dry-run: how much of each kind to show at most]:NUMBER: ' \
            '--confirm[go back by itself after this time (60, 90s, 10m, 1h30m), unless `ilm confirm` comes; no process is needed for that]:TIME: ' \
            '--wait[give up when another writer keeps this change waiting for this long (60, 90s, 10m, 1h30m; default: 30)]:TIME: ' \
            '--timing[show how long each step took (always included in --json)]' \
            '--over-newer[also replace rules that a newer version of ilm made; mappings added at run time and counters are lost]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            '*:mappings beside those of the file, e.g. tcp\:8080=127.0.1.10\:80: ' ;;
        adopt)
          _arguments '(-f --file)-f[the configuration to write (default: /etc/ilm/ilm.yaml); one that others have written or changed is refused]:FILE:_files' \
            '(-f --file)--file[the configuration to write (default: /etc/ilm/ilm.yaml); one that others have written or changed is refused]:FILE:_files' \
            '--dry-run[change nothing: print the configuration, the steps, and what is left alone]' \
            '--undo[move them back, and take them out of the file]' \
            '--lines[change nothing: print what to write into each daemon'\''s own configuration, so that it listens on its own addresses by itself]' \
            '--restart[how to restart what is no systemd unit, e.g. app=/opt/app/restart.sh]:NAME=COMMAND...: ' \
            '--socket-units[write a socket unit for these, so that they start with the first connection; the daemon has to take its sockets from systemd (sd_listen_fds)]:NAME...: ' \
            '--drain[how long open connections get to end before a restart (60, 90s, 10m, 1h30m; default: 3)]:TIME: ' \
            '--start-timeout[how long a restarted daemon gets to listen again, before it is taken back (default: 60)]:TIME: ' \
            '--spare-ssh-port[the port of the second sshd (default: the first free one from 2222 on)]:PORT: ' \
            '--login-timeout[how long to wait for a new login over SSH; without one, the second sshd stays (default: 300)]:TIME: ' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            '*:only these units, users or services; default\: all that can be:{ compadd -- ${(f)"$(ilm address --names 2>/dev/null)"} }' ;;
        reload)
          _arguments '--timing[show how long each step took (always included in --json)]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' ;;
        add)
          _arguments '--replace[replace a mapping of the same name that was added before]' \
            '--for[let them end by themselves after this time (60, 90s, 10m, 1h30m); with --replace, from now on again]:TIME: ' \
            '--dry-run[change nothing: show what would change, as `ilm diff` does, or why it would fail]' \
            '--summary[with --dry-run: show how much differs, in one line]' \
            '--limit[with --dry-run: how much of each kind to show at most]:NUMBER: ' \
            '--confirm[go back by itself after this time (60, 90s, 10m, 1h30m), unless `ilm confirm` comes; no process is needed for that]:TIME: ' \
            '--wait[give up when another writer keeps this change waiting for this long (60, 90s, 10m, 1h30m; default: 30)]:TIME: ' \
            '--timing[show how long each step took (always included in --json)]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            '*:e.g. tcp\:8080=127.0.1.10\:80: ' ;;
        remove)
          _arguments '--dry-run[change nothing: show what would change, as `ilm diff` does, or why it would fail]' \
            '--summary[with --dry-run: show how much differs, in one line]' \
            '--limit[with --dry-run: how much of each kind to show at most]:NUMBER: ' \
            '--confirm[go back by itself after this time (60, 90s, 10m, 1h30m), unless `ilm confirm` comes; no process is needed for that]:TIME: ' \
            '--wait[give up when another writer keeps this change waiting for this long (60, 90s, 10m, 1h30m; default: 30)]:TIME: ' \
            '--timing[show how long each step took (always included in --json)]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            '*:as `ilm mappings` shows it, e.g. tcp\:8080:{ compadd -- ${(f)"$(ilm mappings --added --names 2>/dev/null)"} }' ;;
        drain)
          _arguments '--force[also where nobody would be left: new connections then end as if nobody listened (`miss`)]' \
            '--until-idle[wait until no connection and no UDP client is left there, for root only]' \
            '--timeout[with --until-idle: give up after this long (60, 90s, 10m, 1h30m), with status 1]:TIME: ' \
            '--wait[give up when another writer keeps this change waiting for this long (60, 90s, 10m, 1h30m; default: 30)]:TIME: ' \
            '--timing[show how long each step took (always included in --json)]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            '*:an address or a service, with or without the daemon'\''s port, perhaps with the protocol in front\: web, web\:8080, 127.0.1.10\:80, udp\:web:{ compadd -- ${(f)"$(ilm address --names 2>/dev/null)"} }' ;;
        undrain)
          _arguments '--wait[give up when another writer keeps this change waiting for this long (60, 90s, 10m, 1h30m; default: 30)]:TIME: ' \
            '--timing[show how long each step took (always included in --json)]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            '*:as `ilm drain` lists it:{ compadd -- ${(f)"$(ilm drain 2>/dev/null | awk NF==1)"} }' ;;
        rollback)
          _arguments '--dry-run[change nothing: show what would change, as `ilm diff` does, or why it would fail]' \
            '--summary[with --dry-run: show how much differs, in one line]' \
            '--limit[with --dry-run: how much of each kind to show at most]:NUMBER: ' \
            '--wait[give up when another writer keeps this change waiting for this long (60, 90s, 10m, 1h30m; default: 30)]:TIME: ' \
            '--timing[show how long each step took (always included in --json)]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            ':the change whose rules are wanted: ' ;;
        confirm)
          _arguments '--back[take the change back now, instead of keeping it]' \
            '--wait[give up when another writer keeps this change waiting for this long (60, 90s, 10m, 1h30m; default: 30)]:TIME: ' \
            '--timing[show how long each step took (always included in --json)]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' ;;
        off)
          _arguments '--wait[give up when another writer keeps this change waiting for this long (60, 90s, 10m, 1h30m; default: 30)]:TIME: ' \
            '--timing[show how long each step took (always included in --json)]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' ;;
        on)
          _arguments '--wait[give up when another writer keeps this change waiting for this long (60, 90s, 10m, 1h30m; default: 30)]:TIME: ' \
            '--timing[show how long each step took (always included in --json)]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' ;;
        unload)
          _arguments '--wait[give up when another writer keeps this change waiting for this long (60, 90s, 10m, 1h30m; default: 30)]:TIME: ' \
            '--timing[show how long each step took (always included in --json)]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' ;;
        demo)
          _arguments '--keep[keep it running until Ctrl-C, to experiment with]' \
            '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' ;;
        schema)
          _arguments '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' ;;
        completion)
          _arguments '(-V --version)-V[show the version]' \
            '(-V --version)--version[show the version]' \
            '--json[print JSON, on standard output alone]' \
            '--netns[work on this network namespace: a path, or a name below /run/netns]:PATH:_files -W /run/netns' \
            '--wide[do not fit tables into the terminal]' \
            '--no-color[no colours; NO_COLOR in the environment does the same]' \
            '(-h --help)-h[show help]' \
            '(-h --help)--help[show help]' \
            ':the shell:(bash zsh fish)' ;;
        help) _describe command commands ;;
      esac ;;
  esac
}
if [ "$funcstack[1]" = "_ilm" ]; then _ilm "$@"; else compdef _ilm ilm; fi
