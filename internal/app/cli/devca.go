package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/wss"
)

func devCACommand(s Streams) *cobra.Command {
	var stateFlag string
	var pem bool
	var output string
	cmd := &cobra.Command{
		Use:   "dev-ca [flags]",
		Short: "Show the development authority and how to trust it",
		Long: "Show the authority that signs certificates for serve --dev and demo: its file, its fingerprint, and the commands\n" +
			"by which a person makes the systems of this machine trust it. It is created if there is none. Nothing is installed.",
		Example: "  sallyport dev-ca\n" +
			"  NODE_EXTRA_CA_CERTS=$(sallyport dev-ca -o path) node app.js\n" +
			"  sallyport dev-ca --pem > sallyport-dev.pem",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := stateDir(s, stateFlag)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return err
			}
			ca, err := wss.OpenDevCA(dir)
			if err != nil {
				return err
			}
			if pem {
				_, err = s.Out.Write(ca.CertPEM())
				return err
			}
			switch output {
			case "text":
				_, err = fmt.Fprint(s.Out, ca.TrustHelp())
			case "path":
				_, err = fmt.Fprintln(s.Out, ca.Path())
			case "json":
				err = json.NewEncoder(s.Out).Encode(map[string]string{
					"path": ca.Path(), "sha256": ca.Fingerprint(), "not_after": ca.NotAfter().UTC().Format(time.RFC3339),
				})
			default:
				err = usage(cmd, fmt.Errorf("-o %s: text, path or json", output))
			}
			return err
		},
	}
	stateFlags(cmd, &stateFlag)
	cmd.Flags().BoolVar(&pem, "pem", false, "print the certificate itself")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`form`: text, path or json")
	return cmd
}
