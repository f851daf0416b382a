package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/app"
	"github.com/sallyport/sallyport/internal/config"
)

func configCommand(s Streams) *cobra.Command {
	return group("config", "Check, show and explain the configuration",
		"  sallyport config check sallyport.yaml\n"+
			"  sallyport config show -c sallyport.yaml\n"+
			"  sallyport config explain guard.idle",
		checkCommand(s), showCommand(s), explainCommand(s), referenceCommand(s))
}

// source is the configuration that a command looks at.
type source struct{ files, set []string }

func (c *source) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&c.files, "config", "c", nil, "configuration `file` or directory, - for the standard input; may be repeated")
	cmd.Flags().StringArrayVar(&c.set, "set", nil, "any setting, as `key=value`; may be repeated")
	note(cmd.Flags(), "Flags", "SALLYPORT_CONFIG", "config")
}

func (c *source) load(cmd *cobra.Command, args []string, s Streams) (*config.File, config.Origins, error) {
	set, err := settings(c.set)
	if err != nil {
		return nil, nil, usage(cmd, err)
	}
	files := append(c.files, args...)
	if len(files) == 0 {
		files = configFiles(s)
	}
	if len(files) == 0 {
		return nil, nil, usage(cmd, errors.New("name a configuration file"))
	}
	return config.Load(config.Source{Files: files, Env: s.Env, Flags: set, Stdin: s.In})
}

func checkCommand(s Streams) *cobra.Command {
	var from source
	cmd := &cobra.Command{
		Use:   "check [flags] [file]...",
		Short: "Find every mistake without starting",
		Long: "Find every mistake without starting: 0 if there is none, 3 otherwise. Files that are referred to are read; nothing\n" +
			"is fetched, bound or written. Settings that weaken the door are listed and are no mistakes.",
		Example: "  sallyport config check sallyport.yaml\n" +
			"  sallyport config check -c base.yaml -c conf.d\n" +
			"  generate | sallyport config check -",
		RunE: func(cmd *cobra.Command, args []string) error {
			f, _, err := from.load(cmd, args, s)
			if err != nil {
				return err
			}
			if err := app.Check(f); err != nil {
				return err
			}
			for _, w := range f.Warnings() {
				fmt.Fprintln(s.Err, "warning: "+app.Escape(w))
			}
			_, err = fmt.Fprintf(s.Out, "ok: %d gates\n", len(f.Gates))
			return err
		},
	}
	from.flags(cmd)
	return cmd
}

func showCommand(s Streams) *cobra.Command {
	var from source
	var server where
	var running, unmasked bool
	cmd := &cobra.Command{
		Use:   "show [flags] [file]...",
		Short: "Show the effective configuration and where each value comes from",
		Long: "Show the effective configuration, defaults included, and where each value comes from. It can be read again as a\n" +
			"configuration. Secrets are references and never shown; query strings and the names of secrets are masked.",
		Example: "  sallyport config show sallyport.yaml\n" +
			"  SALLYPORT_LISTEN=:443 sallyport config show sallyport.yaml\n" +
			"  sallyport config show --running",
		RunE: func(cmd *cobra.Command, args []string) error {
			if running {
				if len(args) > 0 {
					return usage(cmd, errors.New("--running shows the server's configuration, not a file's"))
				}
				server.files = from.files
				client, err := server.client(s)
				if err != nil {
					return err
				}
				shown, err := client.Config(cmd.Context())
				if err != nil {
					return err
				}
				_, err = fmt.Fprint(s.Out, shown.YAML)
				return err
			}
			f, origins, err := from.load(cmd, args, s)
			if err != nil {
				return err
			}
			return config.Show(s.Out, f, origins, !unmasked)
		},
	}
	from.flags(cmd)
	flags := cmd.Flags()
	flags.BoolVar(&unmasked, "unmasked", false, "show query strings and what secrets refer to")
	flags.BoolVar(&running, "running", false, "ask the running server")
	flags.StringVar(&server.admin, "admin", "", "its administrator's API: unix:/path or `host:port`")
	flags.StringVar(&server.token, "token", "", "its token over TCP, as a `reference`: file:/path or env:NAME")
	flags.StringVar(&server.state, "state", "", "its state `directory`")
	note(flags, "Which server", "", "running", "admin", "token", "state")
	return cmd
}

func explainCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:     "explain <key>",
		Short:   "Explain one setting",
		Example: "  sallyport config explain guard.idle\n  sallyport config explain tls.terminated_by",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text := config.Explain(args[0])
			if _, ok := config.Lookup(args[0]); !ok {
				return fail(exitUsage, "", "%s", strings.TrimSpace(text))
			}
			_, err := fmt.Fprintln(s.Out, text)
			return err
		},
	}
}

func referenceCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:     "reference",
		Short:   "Write the reference of all settings as Markdown",
		Example: "  sallyport config reference > docs/CONFIG.md",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return config.Reference(s.Out) },
	}
}
