package cli

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/demo"
)

func demoCommand(s Streams) *cobra.Command {
	var o demo.Options
	cmd := &cobra.Command{
		Use:   "demo [flags]",
		Short: "Try the door on this machine, with a page to watch it",
		Long: "Serve a guarded chat on https://localhost:8443: log in as one of two people, talk, log out in one tab and see the\n" +
			"other tab's socket end, and watch a page of another origin try and fail. Loopback only. Your browser warns of the\n" +
			"certificate, since nobody vouches for it but this machine: \"sallyport dev-ca\" says more.",
		Example: "  sallyport demo\n  sallyport demo --open\n  sallyport demo --port 9443",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Port < 0 || o.Port > 65535 {
				return usage(cmd, fmt.Errorf("--port is 1 to 65535"))
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			go func() { // ends with ctx, which Run outlives: a second signal then kills
				<-ctx.Done()
				stop()
			}()
			o.Out = s.Out
			return demo.Run(ctx, o)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&o.Port, "port", 0, "`port` of the page; the next free one if it is busy (default 8443)")
	flags.BoolVar(&o.Open, "open", false, "open the page in the browser")
	flags.StringVar(&o.State, "state", "", "`directory` that keeps sessions, revocations and keys (default: they are forgotten)")

	return cmd
}
