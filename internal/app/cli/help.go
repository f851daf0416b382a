package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// learnMore is where the documentation of the program begins: an installed one
// has no files beside it.
const learnMore = "Learn more: sallyport config reference"

// exitCodes is part of the help of the program.
const exitCodes = `Exit codes:
  0 ok  1 failure  2 usage  3 configuration  4 findings  5 unreachable  6 refused`

// groupOf and envOf are notes on a flag: the heading under which it is listed,
// and the environment variable that sets the same.
const (
	groupOf = "group"
	envOf   = "env"
)

// other is the heading that comes last.
const other = "Other"

// note puts a flag under a heading and names its variable.
func note(flags *pflag.FlagSet, heading, env string, names ...string) {
	for _, name := range names {
		_ = flags.SetAnnotation(name, groupOf, []string{heading})
		if env != "" {
			_ = flags.SetAnnotation(name, envOf, []string{env})
		}
	}
}

// help writes summary, usage, examples, commands and flags in groups.
func help(cmd *cobra.Command, _ []string) {
	w := cmd.OutOrStdout()
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	fmt.Fprintf(w, "%s\n\nUsage:\n  %s\n", strings.TrimSpace(text), useLine(cmd))
	if cmd.Example != "" {
		fmt.Fprintf(w, "\nExamples:\n%s\n", strings.Trim(cmd.Example, "\n"))
	}
	helpCommands(w, cmd)
	helpFlags(w, cmd)
	if !cmd.HasParent() {
		fmt.Fprintf(w, "\n%s\n", exitCodes)
	}
	fmt.Fprintf(w, "\n%s\n", learnMore)
}

func useLine(cmd *cobra.Command) string {
	if cmd.HasAvailableSubCommands() {
		return cmd.CommandPath() + " <command>"
	}
	return cmd.UseLine()
}

func helpCommands(w io.Writer, cmd *cobra.Command) {
	if !cmd.HasAvailableSubCommands() {
		return
	}
	fmt.Fprintf(w, "\nCommands:\n")
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			fmt.Fprintf(w, "  %-12s %s\n", c.Name(), c.Short)
		}
	}
}

func helpFlags(w io.Writer, cmd *cobra.Command) {
	groups := map[string][]string{}
	var order []string
	width := 0
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			width = max(width, len(flagName(f)))
		}
	})
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		heading := "Flags"
		if g := f.Annotations[groupOf]; len(g) > 0 {
			heading = g[0]
		} else if f.Name == "help" {
			heading = other
		}
		if groups[heading] == nil {
			order = append(order, heading)
		}
		groups[heading] = append(groups[heading], fmt.Sprintf("  %-*s  %s", width, flagName(f), flagText(f)))
	})
	if i := slices.Index(order, other); i >= 0 {
		order = append(slices.Delete(order, i, i+1), other)
	}
	for _, heading := range order {
		fmt.Fprintf(w, "\n%s:\n%s\n", heading, strings.Join(groups[heading], "\n"))
	}
}

func flagName(f *pflag.Flag) string {
	name := "    --" + f.Name
	if f.Shorthand != "" {
		name = "-" + f.Shorthand + ", --" + f.Name
	}
	if word, _ := pflag.UnquoteUsage(f); word != "" {
		name += " " + word
	}
	return name
}

func flagText(f *pflag.Flag) string {
	_, text := pflag.UnquoteUsage(f)
	if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0s" && f.DefValue != "0" {
		text += fmt.Sprintf(" (default %s)", f.DefValue)
	}
	if env := f.Annotations[envOf]; len(env) > 0 {
		text += " [" + env[0] + "]"
	}
	return text
}
