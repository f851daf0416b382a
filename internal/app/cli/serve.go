package cli

import (
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/app/metrics"
	"github.com/sallyport/sallyport/internal/config"
)

// serving are the flags of serve.
type serving struct {
	files []string
	line  config.Flags
	set   []string
}

func serveCommand(s Streams) *cobra.Command {
	f := &serving{}
	cmd := &cobra.Command{
		Use:   "serve [flags]",
		Short: "Guard a WebSocket backend",
		Long: "Guard a WebSocket backend: one gate by flags, or any number from a file.\n\n" +
			"Exactly one of --jwks, --forward and --anonymous says who may pass, unless -c is given. Without one, nothing starts.\n" +
			"SIGTERM drains, a second one stops at once, SIGHUP reloads configuration, keys and certificates.",
		Example: "  sallyport serve --dev --to ws://127.0.0.1:3000 --origin https://localhost:5173 --forward http://127.0.0.1:3000/me\n" +
			"  sallyport serve --cert chain.pem --key key.pem --to ws://127.0.0.1:3000 --origin https://app.example.com \\\n" +
			"      --jwks https://idp.example.com/jwks --issuer https://idp.example.com --audience chat\n" +
			"  sallyport serve -c /etc/sallyport/sallyport.yaml",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			load, err := f.loader(cmd, s)
			if err != nil {
				return err
			}
			file, origins, err := load()
			if err != nil {
				return err
			}
			return app.Run(cmd.Context(), app.Options{
				File: file, Origins: origins, Load: load, Log: s.Err, Version: buildVersion(), Meter: metrics.New(buildVersion()),
			})
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.line.To, "to", "", "the backend: `ws://host:port`, wss://host, unix:/path")
	flags.StringVar(&f.line.Path, "path", "", "the `path` that is guarded, with a slash at its end everything below (default /)")
	flags.StringArrayVar(&f.line.Origins, "origin", nil, "a web `origin` whose pages may connect; may be repeated")
	flags.StringVar(&f.line.Without, "without", "", "a missing Origin: refuse, or `bearer` for programs (default refuse)")
	note(flags, "The gate", "", "to", "path", "origin", "without")
	flags.StringVar(&f.line.JWKS, "jwks", "", "tokens of an identity provider: `URL` of its keys, or file:/path")
	flags.StringVar(&f.line.Issuer, "issuer", "", "the exact `iss` of those tokens")
	flags.StringVar(&f.line.Audience, "audience", "", "the `aud` that they must have")
	flags.StringVar(&f.line.Forward, "forward", "", "ask the application at this `URL` who the visitor is")
	flags.StringVar(&f.line.Anonymous, "anonymous", "", "everybody from the listed origins, for this `reason`")
	note(flags, "Who may pass (exactly one way)", "", "jwks", "issuer", "audience", "forward", "anonymous")
	flags.BoolVar(&f.line.Dev, "dev", false, "development: loopback only, a certificate of a local authority")
	flags.StringVar(&f.line.Cert, "cert", "", "certificate chain, a PEM `file`")
	flags.StringVar(&f.line.Key, "key", "", "its private key, a PEM `file` that others must not read")
	flags.StringVar(&f.line.Listen, "listen", "", "public `address` (default :8443, with --dev 127.0.0.1:8443)")
	flags.StringArrayVar(&f.line.Hosts, "host", nil, "a `name` under which the door may be asked for; may be repeated (default those of the certificate)")
	note(flags, "The listener", "", "dev", "cert", "key", "host")
	note(flags, "The listener", config.EnvName("listen"), "listen")
	flags.StringVar(&f.line.State, "state", "", "`directory` of revocations, sessions and keys, or memory")
	flags.StringVar(&f.line.App, "app", "", "http `URL` of a site that gets every other path")
	flags.StringArrayVarP(&f.files, "config", "c", nil, "configuration `file` or directory; may be repeated")
	flags.StringArrayVar(&f.set, "set", nil, "any setting, as `key=value`: health=off, limits.per_address=64; may be repeated")
	note(flags, "The server", config.EnvName("state"), "state")
	note(flags, "The server", config.EnvName("app"), "app")
	note(flags, "The server", "SALLYPORT_CONFIG", "config")
	note(flags, "The server", "", "set")
	return cmd
}

// loader returns what reads the configuration, now and at every reload.
func (f *serving) loader(cmd *cobra.Command, s Streams) (func() (*config.File, config.Origins, error), error) {
	set, err := settings(f.set)
	if err != nil {
		return nil, usage(cmd, err)
	}
	files := f.files
	if len(files) == 0 && !cmd.Flags().Changed("to") {
		files = configFiles(s)
	}
	if len(files) == 0 {
		f.line.Set, f.line.Env, f.line.Stdin = set, s.Env, s.In
		return func() (*config.File, config.Origins, error) { return config.FromFlags(f.line) }, nil
	}
	for _, name := range []string{"to", "path", "origin", "without", "jwks", "issuer", "audience", "forward", "anonymous", "cert", "key"} {
		if cmd.Flags().Changed(name) {
			return nil, usage(cmd, errors.New("--"+name+" is for the one-line form and does not go with a configuration file: write it there"))
		}
	}
	for key, value := range map[string]string{
		"listen": f.line.Listen, "state": f.line.State, "app": f.line.App, "hosts": strings.Join(f.line.Hosts, ","),
	} {
		if value != "" {
			set[key] = value
		}
	}
	if f.line.Dev {
		set["tls.dev"] = "true"
	}
	source := config.Source{Files: files, Env: s.Env, Flags: set, Stdin: s.In}
	return func() (*config.File, config.Origins, error) { return config.Load(source) }, nil
}

// settings reads key=value pairs.
func settings(pairs []string) (map[string]string, error) {
	set := map[string]string{}
	for _, pair := range pairs {
		key, value, ok := strings.Cut(pair, "=")
		if _, doubled := set[key]; !ok || key == "" || doubled {
			return nil, errors.New("--set takes key=value, each key once")
		}
		set[key] = value
	}
	return set, nil
}

// configFiles are the files named by the environment.
func configFiles(s Streams) []string {
	if v := getenv(s, "SALLYPORT_CONFIG"); v != "" {
		return strings.Split(v, string(os.PathListSeparator))
	}
	return nil
}

func getenv(s Streams, name string) string {
	for _, pair := range s.Env {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return value
		}
	}
	return ""
}
