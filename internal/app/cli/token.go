package cli

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/auth/jwt"
	"github.com/sallyport/sallyport/internal/app"
)

func tokenCommand(s Streams) *cobra.Command {
	return group("token", "Issue and inspect tokens",
		"  sallyport token issue --secret file:hs.key --issuer https://idp.example.com --audience chat --subject alice\n"+
			"  sallyport token inspect < token.txt",
		issueCommand(s), inspectCommand(s))
}

// maxTTL is how long a token may live: revocations are kept that long.
const maxTTL = 7 * 24 * time.Hour

// ordered is a token to be issued.
type ordered struct {
	secret, alg, state                     string
	issuer, audience, subject, session, id string
	scopes                                 []string
	ttl                                    time.Duration
}

func issueCommand(s Streams) *cobra.Command {
	var o ordered
	cmd := &cobra.Command{
		Use:   "issue [flags]",
		Short: "Issue a token, for tests and for programs",
		Long: "Issue a token (RFC 9068) and print it. It is signed with a shared secret, as a gate's auth.jwt.secret has it, or\n" +
			"with the door's own key from a state directory that no server uses at the moment.",
		Example: "  sallyport token issue --secret file:hs.key --issuer https://idp.example.com --audience chat --subject alice\n" +
			"  sallyport token issue --secret env:HS_KEY --alg HS512 --issuer ci --audience chat --subject robot --ttl 1h\n" +
			"  sallyport token issue --state /var/lib/sallyport --issuer https://app.example.com \\\n" +
			"      --audience https://app.example.com/chat --subject alice",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return usage(cmd, err)
			}
			token, err := o.sign(s)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(s.Out, token)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.secret, "secret", "", "the shared key, as a `reference`: file:/path or env:NAME")
	flags.StringVar(&o.alg, "alg", "HS256", "with --secret: `name` of the algorithm, HS256, HS384 or HS512")
	flags.StringVar(&o.state, "state", "", "instead: the state `directory` with the door's own key")
	note(flags, "Who signs", "", "secret", "alg", "state")
	flags.StringVar(&o.issuer, "issuer", "", "who vouches: the `iss`; required")
	flags.StringVar(&o.audience, "audience", "", "for whom: the `aud`; required")
	flags.StringVar(&o.subject, "subject", "", "the `user`: sub; required")
	flags.StringVar(&o.session, "session", "", "the `session`: sid")
	flags.StringVar(&o.id, "id", "", "`jti`, by which it can be revoked (default random)")
	flags.StringArrayVar(&o.scopes, "scope", nil, "a `scope`; may be repeated")
	flags.DurationVar(&o.ttl, "ttl", 5*time.Minute, "the `time` that it is good, at most 168h")
	note(flags, "What it says", "", "issuer", "audience", "subject", "session", "id", "scope", "ttl")
	return cmd
}

func (o *ordered) check() error {
	switch {
	case (o.secret == "") == (o.state == ""):
		return errors.New("exactly one of --secret and --state says who signs")
	case o.issuer == "" || o.audience == "" || o.subject == "":
		return errors.New("--issuer, --audience and --subject are required")
	case o.ttl < time.Second || o.ttl > maxTTL:
		return errors.New("--ttl is 1s to 168h")
	}
	return nil
}

func (o *ordered) claims(now time.Time) map[string]any {
	if o.id == "" {
		var b [16]byte
		rand.Read(b[:])
		o.id = hex.EncodeToString(b[:])
	}
	c := map[string]any{
		"iss": o.issuer, "aud": o.audience, "sub": o.subject, "jti": o.id, "iat": now.Unix(), "exp": now.Add(o.ttl).Unix(),
	}
	if o.session != "" {
		c["sid"] = o.session
	}
	if len(o.scopes) > 0 {
		c["scope"] = strings.Join(o.scopes, " ")
	}
	return c
}

func (o *ordered) sign(s Streams) (string, error) {
	claims := o.claims(time.Now())
	if o.secret != "" {
		key, err := secret(s, o.secret)
		if err != nil {
			return "", err
		}
		return signShared(o.alg, key, claims)
	}
	signer, release, err := app.Signer(o.state)
	if err != nil {
		return "", err
	}
	token, err := signer.Sign(jwt.TypeAccess, claims)
	return token, errors.Join(err, release())
}

func inspectCommand(s Streams) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect [token]",
		Short: "Show what a token says; nothing of it is verified",
		Long: "Show what a token says, and the id by which it can be revoked. Neither signature nor claims are verified. Give it on\n" +
			"the standard input: arguments can be seen by every account of the machine. The signature is not shown.",
		Example: "  sallyport token inspect < token.txt\n" +
			"  sallyport token issue … | sallyport token inspect",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var text string
			if len(args) == 1 && args[0] != "-" {
				text = args[0]
			} else {
				data, err := io.ReadAll(io.LimitReader(s.In, 16<<10))
				if err != nil {
					return err
				}
				text = string(bytes.TrimSpace(data))
			}
			return inspect(s.Out, text, time.Now())
		},
	}
}

// inspect writes header and claims, and what an operator wants to know.
func inspect(w io.Writer, token string, now time.Time) error {
	header, claims, err := jwt.InspectUnverified(token)
	if err != nil {
		return fail(exitFailure, "", "this is no token that would be read: %w", err)
	}
	credential, ok := claims["jti"].(string)
	if !ok || credential == "" {
		credential = jwt.CredentialID(token)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(struct {
		Verified   bool           `json:"verified"`
		Header     map[string]any `json:"header"`
		Claims     map[string]any `json:"claims"`
		Credential string         `json:"credential"`
		Life       string         `json:"life"`
	}{false, header, claims, credential, life(claims, now)})
}

// life says whether a token has ended.
func life(claims map[string]any, now time.Time) string {
	n, ok := claims["exp"].(json.Number)
	if !ok {
		return "it has no exp and would be refused"
	}
	seconds, err := n.Float64()
	if err != nil {
		return "its exp is no time and would be refused"
	}
	if seconds < 0 || seconds > maxTime {
		return "its exp is no time and would be refused"
	}
	end := time.Unix(int64(seconds), 0)
	if left := end.Sub(now); left > 0 {
		return "ends in " + roughly(left)
	}
	return "ended " + roughly(now.Sub(end)) + " ago"
}

// maxTime is the end of the year 9999 (RFC 3339) in seconds.
const maxTime = 253402300799

// roughly is d as a person wants it: in seconds up to an hour, in minutes up to
// two days, then in days.
func roughly(d time.Duration) string {
	switch {
	case d < time.Hour-time.Second/2:
		return d.Round(time.Second).String()
	case d < 48*time.Hour-time.Minute/2:
		text := strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
		if strings.HasSuffix(text, "h0m") {
			text = strings.TrimSuffix(text, "0m")
		}
		return text
	case d >= 100*365*24*time.Hour:
		return "more than 100 years"
	}
	return fmt.Sprintf("%d days", int64(d.Round(24*time.Hour)/(24*time.Hour)))
}
