# Tells Baton where prompts and commands begin and end, and the directory (OSC 133 and OSC 7).
# Last in ~/.zshrc:  eval "$(baton shell-integration zsh)"
#
# Hooks beside those that are there; of PS1 only the end is written to.

if [[ -n ${BATON_SESSION-} && -z ${__baton_installed-} && -o interactive && ${TERM-} != dumb ]]; then
    typeset -g __baton_installed=1
    # A command was begun and its end was not told yet.
    typeset -gi __baton_running=0
    typeset -ga precmd_functions preexec_functions

    # Percent-encodes at most 1200 bytes of $1 into REPLY; more would not fit into one sequence.
    __baton_encode() {
        emulate -L zsh
        setopt extended_glob no_multibyte
        local LC_ALL=C MATCH MBEGIN MEND
        local safe='abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._~-'
        REPLY=${1[1,1200]//(#m)[^${~safe}]/%${(l:2::0:)$(([##16] #MATCH))}}
    }

    __baton_precmd() {
        local -i __baton_status=$?
        emulate -L zsh
        local REPLY
        if (( __baton_running )); then
            __baton_running=0
            builtin printf '\e]133;D;%d\a' $__baton_status >&2
        fi
        __baton_encode $PWD
        builtin printf '\e]7;file://%s%s\a\e]133;A\a' "${HOST-}" $REPLY >&2
        [[ ${PS1-} == *']133;B'* ]] || PS1=${PS1-}$'%{\e]133;B\a%}'
    }

    # $1 is the line as typed; empty when there is no history.
    __baton_preexec() {
        # Before options are as usual: a line kept out of the history is not told.
        local line=${1-} REPLY=
        [[ -o hist_ignore_space && $line == ' '* ]] && line=
        emulate -L zsh
        __baton_running=1
        if [[ -n $line ]]; then
            __baton_encode $line
            REPLY=";cmdline_url=$REPLY"
        fi
        builtin printf '\e]133;C%s\a' $REPLY >&2
    }

    precmd_functions+=(__baton_precmd)
    preexec_functions+=(__baton_preexec)
fi
