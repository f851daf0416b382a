// Package cli is the command line of the server program.
//
// It stops the slips by which an operator opens a door or ends the wrong
// connections: a flag that is misspelt is a usage error and not a default,
// ending everybody needs --all, a configuration without a way to authenticate
// does not start. It never prints a secret.
//
// Data goes to the standard output, everything else to the standard error
// stream, without colours (so that NO_COLOR has nothing to switch off). Errors
// are one line and a hint, without the usage text; where a command is missing,
// those that there are. Exit codes: 0 ok, 1 failure,
// 2 usage, 3 configuration, 4 findings, 5 unreachable, 6 refused, 128 and the
// number of the signal after a second one.
package cli

import (
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Env      []string // as os.Environ gives it
}

// Main runs the program with its arguments, without its name, and returns the
// exit code.
func Main(ctx context.Context, args []string, s Streams) int {
	root := newRoot(s)
	root.SetArgs(args)
	return report(s.Err, root.ExecuteContext(ctx))
}

func newRoot(s Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "sallyport",
		Short: "The guarded door for WebSockets",
		Long: "Sallyport decides who may open a WebSocket, and ends each connection that no longer should be open.\n" +
			"It stands in front of any backend, unchanged.",
		Example: "  sallyport demo\n" +
			"  sallyport serve --dev --to ws://127.0.0.1:3000 --origin https://localhost:5173 --forward http://127.0.0.1:3000/me\n" +
			"  sallyport serve -c /etc/sallyport/sallyport.yaml",
		SilenceErrors:              true,
		SilenceUsage:               true,
		DisableAutoGenTag:          true,
		SuggestionsMinimumDistance: 2,
		Args:                       cobra.NoArgs,
		RunE:                       needsCommand,
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return usage(cmd, unknownFlag(cmd, err)) })
	root.SetHelpFunc(help)
	root.SetHelpCommand(&cobra.Command{Use: "help [command]", Short: "Help about a command", RunE: func(cmd *cobra.Command, args []string) error {
		about, rest, err := cmd.Root().Find(args)
		if err != nil || len(rest) > 0 {
			return usage(cmd.Root(), unknownCommand(cmd.Root(), args))
		}
		help(about, nil)
		return nil
	}})
	root.AddCommand(serveCommand(s), demoCommand(s), devCACommand(s), configCommand(s), tokenCommand(s), keysCommand(s), connectionsCommand(s),
		revokeCommand(s), healthCommand(s), benchCommand(s), versionCommand(s))
	root.InitDefaultCompletionCmd()
	for _, cmd := range everything(root) {
		strict(cmd)
	}
	return root
}

// everything is cmd and all that is below it.
func everything(cmd *cobra.Command) []*cobra.Command {
	list := []*cobra.Command{cmd}
	for _, c := range cmd.Commands() {
		list = append(list, everything(c)...)
	}
	return list
}

// strict makes a wrong number of arguments a usage error, and lists flags in the
// order in which they were thought of.
func strict(cmd *cobra.Command) {
	cmd.Flags().SortFlags = false
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				if cmd.HasSubCommands() {
					err = unknownCommand(cmd, args)
				}
				return usage(cmd, err)
			}
			return nil
		}
	}
}

// needsCommand is what a command that is only a group does: it lists what it has.
func needsCommand(cmd *cobra.Command, _ []string) error {
	var list strings.Builder
	helpCommands(&list, cmd)
	p := usage(cmd, errNoCommand)
	p.more = strings.Trim(list.String(), "\n")
	return p
}

// group returns a command that does nothing but hold others.
func group(use, short, example string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Example: example, Args: cobra.NoArgs, RunE: needsCommand}
	cmd.AddCommand(commands...)
	return cmd
}
