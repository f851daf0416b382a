package cli

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/config"
)

func healthCommand(s Streams) *cobra.Command {
	var address string
	var files []string
	var live bool
	cmd := &cobra.Command{
		Use:   "health [flags]",
		Short: "Ask a server whether it is ready",
		Long: "Ask a server whether it is ready: 0 if it is, 1 if it is not, 5 if nobody answers. Its address is\n" +
			"--address, else the setting health of the configuration, of which nothing else is used. For HEALTHCHECK in an image\n" +
			"without a shell.",
		Example: "  sallyport health\n" +
			"  sallyport health -c /etc/sallyport/sallyport.yaml\n" +
			"  sallyport health --address 127.0.0.1:9091\n" +
			"  sallyport health --live",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("address") {
				found, err := healthAddress(s, files, address)
				if err != nil {
					return err
				}
				address = found
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
	cmd.Flags().StringArrayVarP(&files, "config", "c", nil, "the server's configuration `file`; may be repeated")
	note(cmd.Flags(), "Flags", "SALLYPORT_CONFIG", "config")
	cmd.Flags().BoolVar(&live, "live", false, "only whether the process answers")
	return cmd
}

// healthAddress is where the health listener is, by the configuration or the
// environment; otherwise if they do not say. The files that the environment
// names may have been changed, and broken, since the server read them: that
// makes no running server unwell, so it is only told.
func healthAddress(s Streams, files []string, otherwise string) (string, error) {
	address := getenv(s, config.EnvName("health"))
	named := len(files) > 0
	if !named && address == "" {
		files = configFiles(s)
	}
	if len(files) > 0 {
		f, _, err := config.Load(config.Source{Files: files, Env: s.Env, Stdin: s.In})
		switch {
		case err == nil:
			address = f.Health
		case named:
			return "", err
		default:
			fmt.Fprintf(s.Err, "warning: the configuration has mistakes; asking %s\n", otherwise)
		}
	}
	switch address {
	case "":
		return otherwise, nil
	case "off":
		return "", fail(exitUnreachable, "", "this configuration has no health listener")
	}
	return reachable(address), nil
}

// reachable is address where that of all interfaces is replaced by loopback.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	switch ip, err := netip.ParseAddr(host); {
	case err == nil && ip == netip.IPv4Unspecified():
		host = "127.0.0.1"
	case err == nil && ip == netip.IPv6Unspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}
