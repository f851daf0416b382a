package config

import "strings"

// DevCACommand returns the command by which a person is shown the development
// authority that is kept in dir: with --state and the directory, quoted for a
// shell, unless the command looks there by itself. from is what said so, as
// [Origins] has it for "state" or [DefaultState] returns it. What a service
// manager assigns is named too: the person's shell does not know of it.
func DevCACommand(dir, from string) string {
	const command = "sallyport dev-ca"
	if from == "env HOME" || from == "env XDG_STATE_HOME" {
		return command
	}
	return command + " --state " + shellWord(dir)
}

// shellWord makes s one word of a shell.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+:@%,=", r)
	}
	if s != "" && s[0] != '-' && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
