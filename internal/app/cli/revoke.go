package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/guard"
)

func revokeCommand(s Streams) *cobra.Command {
	var server where
	var m guard.Match
	var before string
	cmd := &cobra.Command{
		Use:   "revoke [flags]",
		Short: "Revoke a user, a session, a credential or a time",
		Long: "Revoke, and end the connections that this names. Everything given must fit. It is on disk before it is\n" +
			"acknowledged, holds for 7 days (no credential is accepted that could outlive it) and cannot be taken back.",
		Example: "  sallyport revoke --subject alice --issuer https://idp.example.com\n" +
			"  sallyport revoke --credential 3f1b9c2e\n" +
			"  sallyport revoke --issuer https://idp.example.com --issued-before 2026-03-02T10:00:00Z",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch before {
			case "":
			case "now":
				m.IssuedBefore = time.Now()
			default:
				at, err := time.Parse(time.RFC3339, before)
				if err != nil {
					return usage(cmd, fmt.Errorf("--issued-before is now, or a time as 2026-03-02T10:00:00Z"))
				}
				m.IssuedBefore = at
			}
			if err := m.Check(); err != nil {
				return usage(cmd, err)
			}
			client, err := server.client(s)
			if err != nil {
				return err
			}
			n, err := client.Revoke(cmd.Context(), m)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(s.Out, "revoked; %d ended\n", n)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&m.Subject, "subject", "", "the `user`; needs --issuer")
	flags.StringVar(&m.Issuer, "issuer", "", "who vouched for the user: `iss`, or the forward-auth URL")
	flags.StringVar(&m.Session, "session", "", "the `session`")
	flags.StringVar(&m.Credential, "credential", "", "the credential's `id`: jti, or as the log shows it")
	flags.StringVar(&before, "issued-before", "", "credentials issued at this `time` or before; now, or as 2026-03-02T10:00:00Z")
	note(flags, "What is revoked", "", "subject", "issuer", "session", "credential", "issued-before")
	server.flags(cmd)
	return cmd
}
