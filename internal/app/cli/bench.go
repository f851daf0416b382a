package cli

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/load"
)

// benched are the flags of bench.
type benched struct {
	load                    load.Config
	size, expect            string
	total                   float64
	origin, ca              string
	bearer, cookie, tickets string
	json, quiet             bool
}

func benchCommand(s Streams) *cobra.Command {
	b := &benched{}
	cmd := &cobra.Command{
		Use:   "bench [flags] <url>",
		Short: "Put a WebSocket server under load and measure it",
		Long: "Put a WebSocket server under load and measure it: your own, or one whose owner knows of it. It is expected to echo.\n\n" +
			"One connection is opened first; if that is impossible, nothing else is tried: 5 if nobody answers, 6 if it is refused.\n" +
			"A reply is timed from the moment at which its message was due, so that waits are charged to the server that causes\n" +
			"them. Ctrl-C ends the run and prints what was measured so far. 1 if connections were lost or messages unanswered.",
		Example: "  sallyport bench wss://staging.example.com/chat --origin https://staging.example.com --cookie file:cookies.txt\n" +
			"  sallyport bench wss://localhost:8443/ --ca ~/.local/state/sallyport/dev-ca.pem --connections 5000 --rate 0.2 --duration 1m\n" +
			"  sallyport bench wss://staging.example.com/ws --bearer file:tokens.txt --connections 2000 --rate 0 --churn 50 --storm --json",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return b.run(cmd, s, args[0]) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.IntVar(&b.load.Connections, "connections", 100, "`number` of connections, at most 100000 and what the process may open")
	flags.Float64Var(&b.load.Rate, "rate", 1, "messages a second on each connection, a `number`; 0 leaves them idle")
	flags.Float64Var(&b.total, "total-rate", 0, "instead: messages a second on all of them together, a `number`")
	flags.StringVar(&b.size, "size", "64", "`bytes` of a message, 20 to 16MiB")
	flags.BoolVar(&b.load.Text, "text", false, "text messages instead of binary ones")
	flags.StringVar(&b.expect, "expect", "echo", "what the `server` does: echo, any (one answer to each, in order), nothing")
	flags.DurationVar(&b.load.Warmup, "warmup", 2*time.Second, "`time` under load that is not measured")
	flags.DurationVar(&b.load.Duration, "duration", 10*time.Second, "`time` that is")
	note(flags, "The load", "", "connections", "rate", "total-rate", "size", "text", "expect", "warmup", "duration")
	flags.Float64Var(&b.load.Ramp, "ramp", 100, "connections opened in a second, a `number`")
	flags.IntVar(&b.load.Handshakes, "handshakes", 256, "at most this `number` of handshakes at the same time")
	flags.Float64Var(&b.load.Churn, "churn", 0, "connections closed and opened again in a second, a `number`")
	flags.BoolVar(&b.load.Storm, "storm", false, "at the end cut all connections at once, and measure how they come back")
	flags.BoolVar(&b.load.Resume, "resume", true, "who comes back resumes its TLS session")
	note(flags, "Coming and going", "", "ramp", "handshakes", "churn", "storm", "resume")
	flags.StringVar(&b.origin, "origin", "", "the `origin` that the handshakes name")
	flags.StringVar(&b.bearer, "bearer", "", "tokens, as a `reference`: file:/path or env:NAME; one a line, taken in turn")
	flags.StringVar(&b.cookie, "cookie", "", "values of the Cookie header, as a `reference`; one a line, taken in turn")
	flags.StringVar(&b.tickets, "tickets", "", "tickets, as a `reference`; one a line, each for one connection")
	flags.StringArrayVar(&b.load.Protocols, "protocol", nil, "a `subprotocol` to offer; may be repeated")
	flags.StringVar(&b.ca, "ca", "", "authorities to trust instead of the system's, a PEM `file`")
	note(flags, "The handshake", "", "origin", "bearer", "cookie", "tickets", "protocol", "ca")
	flags.BoolVar(&b.json, "json", false, "the result as JSON; the unit is in each name")
	flags.BoolVarP(&b.quiet, "quiet", "q", false, "no progress, which is otherwise shown on a terminal")
	note(flags, "Output", "", "json", "quiet")
	return cmd
}

func (b *benched) run(cmd *cobra.Command, s Streams, url string) error {
	b.load.URL = url
	if err := b.complete(cmd, s); err != nil {
		return err
	}
	if most := load.MostConnections(); most > 0 && b.load.Connections > most {
		fmt.Fprintf(s.Err, "warning: %d connections instead of %d, since the process may open no more files; raise it (ulimit -n)\n", most, b.load.Connections)
		b.load.Connections = most
	}
	line := newProgressLine(s.Err, b.quiet)
	b.load.Progress = line.show()
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() { // ends with ctx, which stop ends at the latest: a second signal then kills
		<-ctx.Done()
		stop()
	}()
	result, err := load.Run(ctx, b.load)
	line.clear()
	if result == nil {
		return usage(cmd, err)
	}
	if err == nil || b.json {
		if writeErr := b.write(s, result); writeErr != nil {
			return writeErr
		}
	}
	if err != nil {
		return unopened(err)
	}
	if problem := result.Problem(); problem != "" {
		return fail(exitFailure, "", "%s", problem)
	}
	return nil
}

// complete turns flags into settings of the load.
func (b *benched) complete(cmd *cobra.Command, s Streams) error {
	size, err := config.ParseSize(b.size)
	if err != nil {
		return usage(cmd, fmt.Errorf("--size: %w", err))
	}
	b.load.Size, b.load.Expect = int(min(size, load.MaxSize+1)), load.Expect(b.expect)
	if cmd.Flags().Changed("total-rate") {
		if cmd.Flags().Changed("rate") {
			return usage(cmd, errors.New("--rate and --total-rate exclude each other"))
		}
		b.load.Rate = b.total / float64(max(b.load.Connections, 1))
	}
	if b.origin != "" {
		b.load.Header = http.Header{"Origin": {b.origin}}
	}
	for _, row := range []struct {
		flag, ref string
		into      *[]string
	}{{"bearer", b.bearer, &b.load.Bearers}, {"cookie", b.cookie, &b.load.Cookies}, {"tickets", b.tickets, &b.load.Tickets}} {
		if *row.into, err = secretLines(s, row.ref); err != nil {
			return fmt.Errorf("--%s: %w", row.flag, err)
		}
	}
	if b.ca == "" {
		return nil
	}
	pem, err := os.ReadFile(b.ca)
	if err != nil {
		return fail(exitConfig, "", "--ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fail(exitConfig, "", "--ca: %s has no certificate", b.ca)
	}
	b.load.TLS = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
	return nil
}

// secretLines reads what ref refers to, one secret a line.
func secretLines(s Streams, ref string) (list []string, err error) {
	data, err := secret(s, ref)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list, nil
}

func (b *benched) write(s Streams, result *load.Result) error {
	if !b.json {
		return benchTable(s.Out, result)
	}
	e := json.NewEncoder(s.Out)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(result)
}

// unopened is the error of a run whose first connection was impossible.
func unopened(err error) error {
	if refused, ok := errors.AsType[*load.RefusedError](err); ok {
		hint := ""
		switch reason := refused.Reason; {
		case strings.HasPrefix(reason, "origin."):
			hint = "name an origin that the server trusts by --origin"
		case strings.HasPrefix(reason, "auth."), refused.Status == http.StatusUnauthorized, refused.Status == http.StatusForbidden:
			hint = "give credentials by --bearer, --cookie or --tickets"
		}
		return fail(exitRefused, hint, "the first connection was %w", err)
	}
	hint := ""
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		hint = "name the authority by --ca; that of --dev is shown by \"sallyport dev-ca -o path\""
	}
	return fail(exitUnreachable, hint, "the first connection failed: %w", err)
}
