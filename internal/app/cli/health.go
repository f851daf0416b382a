package cli

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/config"
)

func healthCommand(s Streams) *cobra.Command {
	var address string
	var live bool
	cmd := &cobra.Command{
		Use:   "health [flags]",
		Short: "Ask a server whether it is ready",
		Long:  "Ask a server whether it is ready: 0 if it is, 1 if it is not, 5 if nobody answers. For HEALTHCHECK in an image without a shell.",
		Example: "  sallyport health\n" +
			"  sallyport health --address 127.0.0.1:9091\n" +
			"  sallyport health --live",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if v := getenv(s, config.EnvName("health")); v != "" && !cmd.Flags().Changed("address") {
				address = v
			}
			path := "/readyz?verbose"
			if live {
				path = "/livez"
			}
			r, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, "http://"+address+path, nil)
			if err != nil {
				return usage(cmd, fmt.Errorf("--address is host:port"))
			}
			client := &http.Client{Timeout: 5 * time.Second}
			resp, err := client.Do(r)
			if err != nil {
				return fail(exitUnreachable, "is the server running? Its address is the setting health", "nobody answers on %s", address)
			}
			defer resp.Body.Close()
			if _, err := io.Copy(s.Out, io.LimitReader(resp.Body, 64<<10)); err != nil {
				return err
			}
			if resp.StatusCode != http.StatusOK {
				return fail(exitFailure, "", "not ready")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&address, "address", "127.0.0.1:9090", "`host:port` of the health listener")
	note(cmd.Flags(), "Flags", config.EnvName("health"), "address")
	cmd.Flags().BoolVar(&live, "live", false, "only whether the process answers")
	return cmd
}
