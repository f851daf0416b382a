package cli

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/sealkeys"
)

// keysShown is what keys list says; it holds nothing secret.
type keysShown struct {
	Dir        string      `json:"dir"`
	Generation uint32      `json:"generation"`
	Signed     bool        `json:"signed"` // this generation
	Pins       []string    `json:"pins"`
	Names      []nameShown `json:"authorities"`
	Keys       []keyShown  `json:"keys"`
}

type nameShown struct {
	Authority string     `json:"authority"`
	End       *time.Time `json:"end,omitempty"` // absent: it was never signed
}

type keyShown struct {
	ID        string    `json:"id"`
	Suite     string    `json:"suite"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

func shown(dir string, set *sealkeys.Set) keysShown {
	out := keysShown{Dir: dir, Generation: set.Generation, Signed: set.Signed(), Keys: []keyShown{}}
	for _, p := range set.Pins {
		out.Pins = append(out.Pins, p.String())
	}
	for _, a := range set.Authorities {
		n := nameShown{Authority: a}
		if end := set.End(a).UTC(); !set.End(a).IsZero() {
			n.End = &end
		}
		out.Names = append(out.Names, n)
	}
	for _, k := range set.Keys {
		e, id := k.Entry(), k.ID()
		out.Keys = append(out.Keys, keyShown{hex.EncodeToString(id[:]), e.Suite.String(), e.NotBefore.UTC(), e.NotAfter.UTC()})
	}
	return out
}

func listKeysCommand(s Streams) *cobra.Command {
	var where keysDir
	var output string
	cmd := &cobra.Command{
		Use:     "list [flags]",
		Short:   "Show sealing keys, names and when they end",
		Example: "  sallyport keys list\n  sallyport keys list -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return usage(cmd, fmt.Errorf("-o %s: table or json", output))
			}
			set, dir, err := where.load(cmd, s)
			if err != nil {
				return err
			}
			list := shown(dir, set)
			if output == "json" {
				e := json.NewEncoder(s.Out)
				e.SetIndent("", "  ")
				return e.Encode(list)
			}
			return keysTable(s, list, time.Now())
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "`form`: table or json")
	where.flags(cmd)
	return cmd
}

func keysTable(s Streams, list keysShown, now time.Time) error {
	w := tabwriter.NewWriter(s.Out, 0, 8, 2, ' ', 0)
	left := func(end time.Time) string {
		if d := end.Sub(now); d > 0 {
			return roughly(d)
		}
		return "over"
	}
	fmt.Fprintln(w, "KEY\tSUITE\tUNTIL\tLEFT")
	for _, k := range list.Keys {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k.ID, k.Suite, k.NotAfter.Format(time.RFC3339), left(k.NotAfter))
	}
	fmt.Fprintln(w, "\nNAME\tUNTIL\tLEFT") // an empty line begins columns of their own
	for _, n := range list.Names {
		if n.End == nil {
			fmt.Fprintf(w, "%s\tnever signed\t\n", n.Authority)
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", n.Authority, n.End.Format(time.RFC3339), left(*n.End))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if !list.Signed {
		fmt.Fprintf(s.Err, "generation %d is to be signed: \"sallyport keys unsigned\" writes what\n", list.Generation)
	}
	return nil
}
