package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/app"
)

func connectionsCommand(s Streams) *cobra.Command {
	return group("connections", "List and end open connections",
		"  sallyport connections list --gate /chat\n"+
			"  sallyport connections kill --subject alice --issuer https://idp.example.com\n"+
			"  sallyport connections kill --all",
		listCommand(s), killCommand(s))
}

// filters are the flags that choose connections.
type filters map[string]*string

func (f filters) flags(cmd *cobra.Command) {
	for _, row := range [][2]string{
		{"id", "the connection with this `id`"}, {"gate", "of the gate with this `path`"},
		{"issuer", "of users of this `issuer`"}, {"subject", "of this `user`"}, {"session", "of this `session`"},
		{"credential", "admitted by this credential `id`"}, {"address", "from this `address` or range"}, {"origin", "from pages of this `origin`"},
	} {
		f[row[0]] = cmd.Flags().String(row[0], "", row[1])
		note(cmd.Flags(), "Which connections", "", row[0])
	}
}

func (f filters) query() url.Values {
	q := url.Values{}
	for name, value := range f {
		if *value != "" {
			q.Set(name, *value)
		}
	}
	return q
}

func listCommand(s Streams) *cobra.Command {
	var server where
	chosen := filters{}
	var output string
	var limit int
	cmd := &cobra.Command{
		Use:   "list [flags]",
		Short: "Show who is connected",
		Example: "  sallyport connections list\n" +
			"  sallyport connections list --subject alice -o json\n" +
			"  sallyport connections list --address 192.0.2.0/24",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return usage(cmd, fmt.Errorf("-o %s: table or json", output))
			}
			client, err := server.client(s)
			if err != nil {
				return err
			}
			query := chosen.query()
			query.Set("limit", strconv.Itoa(limit))
			list, err := client.Connections(cmd.Context(), query)
			if err != nil {
				return err
			}
			if output == "json" {
				e := json.NewEncoder(s.Out)
				e.SetIndent("", "  ")
				return e.Encode(list)
			}
			return table(s.Out, s.Err, list)
		},
	}
	chosen.flags(cmd)
	cmd.Flags().IntVar(&limit, "limit", 1000, "show at most this `number`, 1 to 10000")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "`form`: table or json")
	server.flags(cmd)
	return cmd
}

// table writes one line for each connection. What clients chose is escaped.
func table(out, errs io.Writer, list admin.List) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tGATE\tUSER\tADDRESS\tORIGIN\tSEALED\tAGE\tLEFT\tRECEIVED\tSENT")
	now := time.Now()
	for _, c := range list.Connections {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\n", c.ID, app.Escape(c.Gate), app.Escape(c.Subject), c.Address,
			app.Escape(c.Origin), yes(c.Sealed), now.Sub(c.Began).Round(time.Second), c.Expires.Sub(now).Round(time.Second), c.BytesIn, c.BytesOut)
	}
	if list.Total > len(list.Connections) {
		fmt.Fprintf(errs, "%d of %d shown; choose by flags, or raise --limit\n", len(list.Connections), list.Total)
	}
	return w.Flush()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func killCommand(s Streams) *cobra.Command {
	var server where
	chosen := filters{}
	var all bool
	cmd := &cobra.Command{
		Use:   "kill [flags]",
		Short: "End connections; their clients may come back",
		Long:  "End connections with admin.closed. Their clients may come back: to keep somebody out, use \"sallyport revoke\".",
		Example: "  sallyport connections kill --id 5f0c9f6b0b9c4a4d8a1f1e0f4f1d2c3b\n" +
			"  sallyport connections kill --gate /chat --address 192.0.2.7\n" +
			"  sallyport connections kill --all",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := chosen.query()
			if all == (len(query) > 0) {
				return usage(cmd, fmt.Errorf("choose connections by flags, or say --all"))
			}
			if all {
				query.Set("all", "true")
			}
			client, err := server.client(s)
			if err != nil {
				return err
			}
			n, err := client.End(cmd.Context(), query)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.Out, "%d ended\n", n)
			return err
		},
	}
	chosen.flags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all of them")
	note(cmd.Flags(), "Which connections", "", "all")
	server.flags(cmd)
	return cmd
}
