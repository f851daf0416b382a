package cli

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/sealkeys"
	"github.com/sallyport/sallyport/seal"
)

// signedLife is by how much a document may begin before or after the clock of
// whoever signs it.
const signedLife = 7 * 24 * time.Hour

func unsignedCommand(s Streams) *cobra.Command {
	var where keysDir
	cmd := &cobra.Command{
		Use:     "unsigned [flags]",
		Short:   "Write what is to be signed by an identity that is kept elsewhere",
		Example: "  sallyport keys unsigned > unsigned.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, _, err := where.load(cmd, s)
			if err != nil {
				return err
			}
			if set.Signed() {
				return fail(exitFailure, "\"sallyport keys rotate\" makes a new generation", "generation %d is signed: there is nothing to do", set.Generation)
			}
			return tellUnsigned(s, set)
		},
	}
	where.flags(cmd)
	return cmd
}

func (k *keysDir) load(cmd *cobra.Command, s Streams) (*sealkeys.Set, string, error) {
	dir, err := k.find(cmd, s)
	if err != nil {
		return nil, "", err
	}
	set, err := sealkeys.Load(dir)
	return set, dir, err
}

// bundle reads what travels between server and identity.
func bundle(s Streams) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(s.In, sealkeys.MaxBundle+1))
	if err == nil && len(data) > sealkeys.MaxBundle {
		err = fail(exitFailure, "", "the standard input has more than %d bytes", sealkeys.MaxBundle)
	}
	return data, err
}

func signCommand(s Streams) *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "sign [flags]",
		Short: "Sign with an identity that is kept elsewhere",
		Long: "Sign what \"keys generate\", \"keys rotate\" or \"keys unsigned\" wrote, from the standard input to the standard output. It\n" +
			"needs nothing but the identity: run it where that lies. What is signed is listed: look at names and times. Several\n" +
			"identities sign the same while clients move from one pin to another.",
		Example: "  sallyport keys sign --identity identity.pem < unsigned.json > signed.json\n" +
			"  sallyport keys sign --identity identity.pem --identity next.pem < unsigned.json > signed.json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(files) == 0 {
				return usage(cmd, errors.New("--identity names the file to sign with"))
			}
			var identities []ed25519.PrivateKey
			for _, name := range files {
				identity, err := sealkeys.ReadIdentity(name)
				if err != nil {
					return err
				}
				identities = append(identities, identity)
			}
			raw, err := bundle(s)
			if err != nil {
				return err
			}
			documents, err := sealkeys.ParseUnsigned(raw)
			if err != nil {
				return err
			}
			return sign(s, documents, identities, time.Now())
		},
	}
	cmd.Flags().StringArrayVar(&files, "identity", nil, "the `file` of the identity; may be repeated")
	return cmd
}

func sign(s Streams, documents []seal.Document, identities []ed25519.PrivateKey, now time.Time) error {
	for _, d := range documents {
		if off := now.Sub(d.Issued); off > signedLife || off < -signedLife {
			return fail(exitFailure, "make a new generation by \"sallyport keys rotate\", or set the clock", "%s: issued %s, which is more than 7 days away", d.Authority, d.Issued.UTC().Format(time.RFC3339))
		}
	}
	signed, err := sealkeys.Sign(documents, sealkeys.Signers(identities)...)
	if err != nil {
		return err
	}
	raw, err := sealkeys.MarshalSigned(signed)
	if err != nil {
		return err
	}
	for _, d := range documents {
		fmt.Fprintf(s.Err, "signed: %s, generation %d, %s to %s, %d keys\n", d.Authority, d.Generation,
			d.Issued.UTC().Format(time.RFC3339), d.Expires.UTC().Format(time.RFC3339), len(d.Keys))
	}
	_, err = s.Out.Write(raw)
	return err
}

func adoptCommand(s Streams) *cobra.Command {
	var where keysDir
	cmd := &cobra.Command{
		Use:   "adopt [flags]",
		Short: "Take documents that were signed elsewhere",
		Long: "Take documents that \"keys sign\" wrote, from the standard input. They must be of the present generation, list keys that\n" +
			"are here, and be signed by an identity whose pin is known. A running server serves them within seconds.",
		Example: "  sallyport keys adopt < signed.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := where.find(cmd, s)
			if err != nil {
				return err
			}
			raw, err := bundle(s)
			if err != nil {
				return err
			}
			documents, err := sealkeys.ParseSigned(raw)
			if err != nil {
				return err
			}
			var made *sealkeys.Set
			err = change(dir, func(set *sealkeys.Set) (*sealkeys.Set, error) {
				if set == nil {
					return nil, fmt.Errorf("%s: %w", dir, sealkeys.ErrNone)
				}
				made = set
				return set, set.Adopt(time.Now(), documents)
			})
			if seal.FaultOf(err) == seal.FaultPin {
				return fail(exitFailure, "make its pin known by \"sallyport keys generate --pin\", if it is yours", "%w", err)
			}
			if err != nil {
				return err
			}
			return tell(s, dir, made)
		},
	}
	where.flags(cmd)
	return cmd
}

func pinCommand(s Streams) *cobra.Command {
	var where keysDir
	var file string
	cmd := &cobra.Command{
		Use:   "pin [flags]",
		Short: "Show the pins that clients are given",
		Example: "  sallyport keys pin\n" +
			"  sallyport keys pin --identity backup.pem",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var pins []seal.Pin
			if file != "" {
				identity, err := sealkeys.ReadIdentity(file)
				if err != nil {
					return err
				}
				pins = append(pins, sealkeys.Pin(identity))
			} else {
				set, _, err := where.load(cmd, s)
				if err != nil {
					return err
				}
				pins = set.Pins
			}
			var b strings.Builder
			for _, p := range pins {
				fmt.Fprintln(&b, p)
			}
			_, err := io.WriteString(s.Out, b.String())
			return err
		},
	}
	cmd.Flags().StringVar(&file, "identity", "", "that of the identity in this `file`")
	where.flags(cmd)
	return cmd
}
