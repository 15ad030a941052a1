# bash completion for ilm; made by "ilm completion bash"
_ilm() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command="" index words=""
  local whole=${COMP_LINE:0:${COMP_POINT:-0}} before=""
  COMPREPLY=()
  # Names have colons, at which bash splits words; what it puts in is what follows the last one.
  whole=${whole##*[[:space:]]}
  if [[ $whole == *:* && $COMP_WORDBREAKS == *:* ]]; then
    before=${whole%"${whole##*:}"} current=$whole
  fi
  case $previous in
    --netns) mapfile -t COMPREPLY < <(compgen -W "$(ls /run/netns 2>/dev/null)" -- "$current"); return ;;
    --protocol) mapfile -t COMPREPLY < <(compgen -W "tcp udp" -- "$current"); return ;;
    --on) COMPREPLY=(); return ;;
    --port) COMPREPLY=(); return ;;
    --to) mapfile -t COMPREPLY < <(compgen -W "$(ilm address --names 2>/dev/null)" -- "$current"); return ;;
    --limit) COMPREPLY=(); return ;;
    --sort) mapfile -t COMPREPLY < <(compgen -W "rules name port selected missed rate connections" -- "$current"); return ;;
    --rate) COMPREPLY=(); return ;;
    --timeout) COMPREPLY=(); return ;;
    --metrics-limit) COMPREPLY=(); return ;;
    -f|--file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -W "$words" -f -- "$current"); return ;;
    --from) COMPREPLY=(); return ;;
    --interface) mapfile -t COMPREPLY < <(compgen -W "$(ls /sys/class/net 2>/dev/null)" -- "$current"); return ;;
    --listening) COMPREPLY=(); return ;;
    --expect) COMPREPLY=(); return ;;
    --from) COMPREPLY=(); return ;;
    --mapping) mapfile -t COMPREPLY < <(compgen -W "$(ilm mappings --names 2>/dev/null)" -- "$current"); return ;;
    --verdict) mapfile -t COMPREPLY < <(compgen -W "existing selected missed rejected" -- "$current"); return ;;
    --sample) COMPREPLY=(); return ;;
    --rate) COMPREPLY=(); return ;;
    --count) COMPREPLY=(); return ;;
    --seconds) COMPREPLY=(); return ;;
    --kind) mapfile -t COMPREPLY < <(compgen -W "wildcard foreign-address mapped-port service-unserved mapping-unserved destination-elsewhere address-missing privilege refused reported" -- "$current"); return ;;
    --against) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -W "$words" -f -- "$current"); return ;;
    --label) COMPREPLY=(); return ;;
    --readers) COMPREPLY=(); return ;;
    --writers) COMPREPLY=(); return ;;
    --keep) COMPREPLY=(); return ;;
    --metrics) COMPREPLY=(); return ;;
    --confirm) COMPREPLY=(); return ;;
    --wait) COMPREPLY=(); return ;;
    --restart) COMPREPLY=(); return ;;
    --socket-units) COMPREPLY=(); return ;;
    --drain) COMPREPLY=(); return ;;
    --start-timeout) COMPREPLY=(); return ;;
    --spare-ssh-port) COMPREPLY=(); return ;;
    --login-timeout) COMPREPLY=(); return ;;
    --for) COMPREPLY=(); return ;;
  esac
  for ((index = 1; index < COMP_CWORD; index++)); do
    case ${COMP_WORDS[index]} in
      --netns) index=$((index + 1)) ;;
      --protocol) index=$((index + 1)) ;;
      --on) index=$((index + 1)) ;;
      --port) index=$((index + 1)) ;;
      --to) index=$((index + 1)) ;;
      --limit) index=$((index + 1)) ;;
      --sort) index=$((index + 1)) ;;
      --rate) index=$((index + 1)) ;;
      --timeout) index=$((index + 1)) ;;
      --metrics-limit) index=$((index + 1)) ;;
      -f|--file) index=$((index + 1)) ;;
      --from) index=$((index + 1)) ;;
      --interface) index=$((index + 1)) ;;
      --listening) index=$((index + 1)) ;;
      --expect) index=$((index + 1)) ;;
      --from) index=$((index + 1)) ;;
      --mapping) index=$((index + 1)) ;;
      --verdict) index=$((index + 1)) ;;
      --sample) index=$((index + 1)) ;;
      --rate) index=$((index + 1)) ;;
      --count) index=$((index + 1)) ;;
      --seconds) index=$((index + 1)) ;;
      --kind) index=$((index + 1)) ;;
      --against) index=$((index + 1)) ;;
      --label) index=$((index + 1)) ;;
      --readers) index=$((index + 1)) ;;
      --writers) index=$((index + 1)) ;;
      --keep) index=$((index + 1)) ;;
      --metrics) index=$((index + 1)) ;;
      --confirm) index=$((index + 1)) ;;
      --wait) index=$((index + 1)) ;;
      --restart) index=$((index + 1)) ;;
      --socket-units) index=$((index + 1)) ;;
      --drain) index=$((index + 1)) ;;
      --start-timeout) index=$((index + 1)) ;;
      --spare-ssh-port) index=$((index + 1)) ;;
      --login-timeout) index=$((index + 1)) ;;
      --for) index=$((index + 1)) ;;
      -*) ;;
      *) command=${COMP_WORDS[index]}; break ;;
    esac
  done
  case $command in
    "") words="status mappings wait history export listeners flows metrics explain monitor audit doctor address hosts check diff import run apply adopt reload add remove drain undrain rollback confirm off on unload demo schema completion help -V --version --json --netns --wide --no-color -h --help" ;;
    help) words="status mappings wait history export listeners flows metrics explain monitor audit doctor address hosts check diff import run apply adopt reload add remove drain undrain rollback confirm off on unload demo schema completion" ;;
    status) words="--check -V --version --json --netns --wide --no-color -h --help" ;;
    mappings) if [[ $current == -* ]]; then words="--protocol --on --port --to --limit --sort --rate --down --degraded --added --connections --names -V --version --json --netns --wide --no-color -h --help"; else words="$(ilm mappings --names 2>/dev/null)"; fi ;;
    wait) if [[ $current == -* ]]; then words="--timeout -V --version --json --netns --wide --no-color -h --help"; else words="$(ilm mappings --names 2>/dev/null; ilm address --names 2>/dev/null)"; fi ;;
    history) words="--limit --summary -V --version --json --netns --wide --no-color -h --help" ;;
    export) words="--file-only --runtime --ndjson -V --version --json --netns --wide --no-color -h --help" ;;
    listeners) words="--mapped --limit -V --version --json --netns --wide --no-color -h --help" ;;
    flows) words="--limit -V --version --json --netns --wide --no-color -h --help" ;;
    metrics) words="--metrics-limit -V --version --json --netns --wide --no-color -h --help" ;;
    explain) if [[ $current == -* ]]; then words="-f --file --from --interface --listening --expect -V --version --json --netns --wide --no-color -h --help"; else words="tcp udp -"; fi ;;
    monitor) words="--protocol --on --port --from --mapping --verdict --sample --rate --count --seconds --summary -V --version --json --netns --wide --no-color -h --help" ;;
    audit) words="--kind --limit -V --version --json --netns --wide --no-color -h --help" ;;
    doctor) words="-V --version --json --netns --wide --no-color -h --help" ;;
    address) if [[ $current == -* ]]; then words="-f --file --names -V --version --json --netns --wide --no-color -h --help"; else words="$(ilm address --names 2>/dev/null)"; fi ;;
    hosts) words="-f --file -V --version --json --netns --wide --no-color -h --help" ;;
    check) words="-f --file -V --version --json --netns --wide --no-color -h --help" ;;
    diff) words="-f --file --against --summary --limit -V --version --json --netns --wide --no-color -h --help" ;;
    import) if [[ $current == -* ]]; then words="--label -V --version --json --netns --wide --no-color -h --help"; else words="tubular nft"; compopt -o filenames; mapfile -t COMPREPLY < <(compgen -W "$words" -f -- "$current"); return; fi ;;
    run) words="-f --file --readers --writers --keep --metrics --metrics-limit --replace --over-newer -V --version --json --netns --wide --no-color -h --help" ;;
    apply) words="-f --file --replace --dry-run --summary --limit --confirm --wait --timing --over-newer -V --version --json --netns --wide --no-color -h --help" ;;
    adopt) if [[ $current == -* ]]; then words="-f --file --dry-run --undo --lines --restart --socket-units --drain --start-timeout --spare-ssh-port --login-timeout -V --version --json --netns --wide --no-color -h --help"; else words="$(ilm address --names 2>/dev/null)"; fi ;;
    reload) words="--timing -V --version --json --netns --wide --no-color -h --help" ;;
    add) words="--replace --for --dry-run --summary --limit --confirm --wait --timing -V --version --json --netns --wide --no-color -h --help" ;;
    remove) if [[ $current == -* ]]; then words="--dry-run --summary --limit --confirm --wait --timing -V --version --json --netns --wide --no-color -h --help"; else words="$(ilm mappings --added --names 2>/dev/null)"; fi ;;
    drain) if [[ $current == -* ]]; then words="--force --until-idle --timeout --wait --timing -V --version --json --netns --wide --no-color -h --help"; else words="$(ilm address --names 2>/dev/null)"; fi ;;
    undrain) if [[ $current == -* ]]; then words="--wait --timing -V --version --json --netns --wide --no-color -h --help"; else words="$(ilm drain 2>/dev/null | awk NF==1)"; fi ;;
    rollback) words="--dry-run --summary --limit --wait --timing -V --version --json --netns --wide --no-color -h --help" ;;
    confirm) words="--back --wait --timing -V --version --json --netns --wide --no-color -h --help" ;;
    off) words="--wait --timing -V --version --json --netns --wide --no-color -h --help" ;;
    on) words="--wait --timing -V --version --json --netns --wide --no-color -h --help" ;;
    unload) words="--wait --timing -V --version --json --netns --wide --no-color -h --help" ;;
    demo) words="--keep -V --version --json --netns --wide --no-color -h --help" ;;
    schema) words="-V --version --json --netns --wide --no-color -h --help" ;;
    completion) if [[ $current == -* ]]; then words="-V --version --json --netns --wide --no-color -h --help"; else words="bash zsh fish"; fi ;;
    *) words="" ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
  COMPREPLY=("${COMPREPLY[@]#"$before"}")
}
complete -F _ilm ilm
