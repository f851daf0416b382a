package cli

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/config"
)

// where says how a running server is found.
type where struct {
	admin, token, state string
	files               []string
}

// flags adds the flags by which a server is found.
func (w *where) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&w.admin, "admin", "", "the administrator's API: unix:/path or `host:port` (default the socket in the state directory)")
	flags.StringVar(&w.token, "token", "", "its token over TCP, as a `reference`: file:/path or env:NAME")
	flags.StringVar(&w.state, "state", "", "the server's state `directory`")
	flags.StringArrayVarP(&w.files, "config", "c", nil, "the server's configuration `file`; may be repeated")
	note(flags, "Which server", config.EnvName("admin.listen"), "admin")
	note(flags, "Which server", config.EnvName("admin.token"), "token")
	note(flags, "Which server", config.EnvName("state"), "state")
	note(flags, "Which server", "SALLYPORT_CONFIG", "config")
}

// client returns a client for the server that the flags, else the environment,
// name.
func (w *where) client(s Streams) (*admin.Client, error) {
	listen, ref, dir := w.admin, w.token, w.state
	files := w.files
	if len(files) == 0 && listen == "" && dir == "" {
		files = configFiles(s)
	}
	if len(files) > 0 {
		f, _, err := config.Load(config.Source{Files: files, Env: s.Env, Stdin: s.In})
		if err != nil {
			return nil, err
		}
		if f.InMemory() && f.Admin.Listen == "unix" || f.Admin.Listen == "off" {
			return nil, fail(exitUnreachable, "", "this configuration has no administrator's API")
		}
		token := ""
		if !f.Admin.Token.IsZero() {
			b, err := f.Admin.Token.Read()
			if err != nil {
				return nil, err
			}
			token = string(b)
		}
		return admin.NewClient(f.Admin.Listen, f.State, token), nil
	}
	if listen == "" {
		listen = getenv(s, config.EnvName("admin.listen"))
	}
	if listen == "" {
		listen = "unix"
	}
	if listen == "unix" {
		var err error
		if dir, err = stateDir(s, dir); err != nil {
			return nil, err
		}
	}
	if ref == "" {
		ref = getenv(s, config.EnvName("admin.token"))
	}
	token, err := secret(s, ref)
	if err != nil {
		return nil, err
	}
	return admin.NewClient(listen, dir, string(token)), nil
}

// secret reads what file:/path or env:NAME refers to; "" is nothing.
func secret(s Streams, ref string) ([]byte, error) {
	if ref == "" {
		return nil, nil
	}
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		if v := getenv(s, name); v != "" {
			return []byte(v), nil
		}
		return nil, fail(exitFailure, "", "the environment has no %s", name)
	}
	path, ok := strings.CutPrefix(ref, "file:")
	if !ok {
		return nil, fail(exitUsage, "write file:/path or env:NAME, so that the secret is in no list of processes", "a secret is given by reference")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if text == "" {
		return nil, fail(exitFailure, "", "%s is empty", path)
	}
	return []byte(text), nil
}

// stateFlags adds --state.
func stateFlags(cmd *cobra.Command, dir *string) {
	cmd.Flags().StringVar(dir, "state", "", "the state `directory` (default $STATE_DIRECTORY, else $XDG_STATE_HOME/sallyport, else ~/.local/state/sallyport)")
	note(cmd.Flags(), "Flags", config.EnvName("state"), "state")
}

// stateDir finds the state directory in the order that the configuration does.
func stateDir(s Streams, flag string) (string, error) {
	for _, dir := range []string{flag, getenv(s, config.EnvName("state"))} {
		if dir != "" {
			return filepath.Abs(dir)
		}
	}
	if v := getenv(s, "STATE_DIRECTORY"); v != "" {
		dir, _, _ := strings.Cut(v, ":")
		return filepath.Clean(dir), nil
	}
	if v := getenv(s, "XDG_STATE_HOME"); filepath.IsAbs(v) {
		return filepath.Join(v, "sallyport"), nil
	}
	if v := getenv(s, "HOME"); filepath.IsAbs(v) {
		return filepath.Join(v, ".local", "state", "sallyport"), nil
	}
	return "", fail(exitUsage, "name one by --state", "there is no state directory")
}
