package cli

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/internal/config"
	"github.com/sallyport/sallyport/internal/sealkeys"
	"github.com/sallyport/sallyport/seal"
)

func keysCommand(s Streams) *cobra.Command {
	return group("keys", "Make, replace and show the keys of the seal",
		"  sallyport keys generate --authority app.example.com:443\n"+
			"  sallyport keys rotate\n"+
			"  sallyport keys list",
		generateCommand(s), rotateCommand(s), unsignedCommand(s), signCommand(s), adoptCommand(s), pinCommand(s), listKeysCommand(s))
}

// keysDir says which folder a command works on.
type keysDir struct{ state, dir string }

func (k *keysDir) flags(cmd *cobra.Command) {
	stateFlags(cmd, &k.state)
	cmd.Flags().StringVar(&k.dir, "dir", "", "the `folder` of the keys, where sealing.dir names one (default \"seal\" in the state directory)")
	note(cmd.Flags(), "Flags", config.EnvName("sealing.dir"), "dir")
}

func (k *keysDir) find(cmd *cobra.Command, s Streams) (string, error) {
	if k.dir != "" && k.state != "" {
		return "", usage(cmd, errors.New("--dir and --state exclude each other"))
	}
	dir := k.dir
	if dir == "" && k.state == "" {
		dir = getenv(s, config.EnvName("sealing.dir"))
	}
	if dir != "" {
		return filepath.Abs(dir)
	}
	if k.state == "memory" || k.state == "" && getenv(s, config.EnvName("state")) == "memory" {
		return "", fail(exitUsage, "name one by --state", "state: memory keeps no keys on disk")
	}
	state, err := stateDir(s, k.state)
	return filepath.Join(state, "seal"), err
}

// change loads the set in dir, nil if there is none, and saves what f makes of it.
// f returns nil for a set that stays as it is.
func change(dir string, f func(*sealkeys.Set) (*sealkeys.Set, error)) error {
	return sealkeys.Locked(dir, func() error {
		set, err := sealkeys.Load(dir)
		if err != nil && !errors.Is(err, sealkeys.ErrNone) {
			return err
		}
		if set, err = f(set); err != nil || set == nil {
			return err
		}
		return sealkeys.Save(dir, set)
	})
}

// generated are the flags of keys generate.
type generated struct {
	where                    keysDir
	authorities, suites, pin []string
	identityOnly             string
}

func generateCommand(s Streams) *cobra.Command {
	var g generated
	cmd := &cobra.Command{
		Use:   "generate [flags]",
		Short: "Make what is missing: identity, sealing key, signed document",
		Long: "Make what is missing: an identity, a sealing key, a signed document for each name. What there is stays, so that the\n" +
			"command can be repeated, also to add a name. The pin, which clients are given, is written to the standard output.\n\n" +
			"With --pin the identity is kept elsewhere: what it has to sign is written instead; bring it back by \"keys adopt\".\n" +
			"Run it as the account of the server, which notices within seconds.",
		Example: "  sallyport keys generate --authority app.example.com:443\n" +
			"  sallyport keys generate --authority app.example.com:443 --suite MLKEM768-X25519 --suite X25519\n" +
			"  sallyport keys generate --identity-only backup.pem\n" +
			"  sallyport keys generate --authority app.example.com:443 --pin sp1.… --pin sp1.… > unsigned.json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if g.identityOnly != "" {
				if len(g.authorities)+len(g.suites)+len(g.pin) > 0 || g.where != (keysDir{}) {
					return usage(cmd, errors.New("--identity-only makes a file and nothing else: give no other flag"))
				}
				return identityOnly(s, g.identityOnly)
			}
			return g.run(cmd, s)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&g.authorities, "authority", nil, "a name under which clients reach the door, as `host:port`; may be repeated")
	flags.StringArrayVar(&g.suites, "suite", nil, "a `suite`: MLKEM768-X25519 (default), X25519; may be repeated")
	flags.StringArrayVar(&g.pin, "pin", nil, "the `pin` of an identity that may sign and is kept elsewhere; may be repeated")
	flags.StringVar(&g.identityOnly, "identity-only", "", "make an identity in this `file` and nothing else: a backup, or one that stays offline")
	g.where.flags(cmd)
	return cmd
}

func identityOnly(s Streams, path string) error {
	identity, err := sealkeys.WriteIdentity(path)
	if errors.Is(err, fs.ErrExist) {
		return fail(exitFailure, "its pin is shown by \"sallyport keys pin --identity "+path+"\"", "%s exists and stays as it is", path)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.Out, sealkeys.Pin(identity))
	return err
}

// wants are the flags, read.
func (g *generated) wants() (suites []seal.Suite, pins []seal.Pin, err error) {
	for _, a := range g.authorities {
		if err := sealkeys.CheckAuthority(a); err != nil {
			return nil, nil, fmt.Errorf("--authority: %w", err)
		}
	}
	for _, name := range g.suites {
		suite, err := sealkeys.ParseSuite(name)
		if err != nil {
			return nil, nil, fmt.Errorf("--suite: %w", err)
		}
		if !slices.Contains(suites, suite) {
			suites = append(suites, suite)
		}
	}
	for _, text := range g.pin {
		p, err := seal.ParsePin(text)
		if err != nil {
			return nil, nil, errors.New("--pin is \"sp1.\" and 43 characters, as \"sallyport keys pin\" writes it")
		}
		pins = append(pins, p)
	}
	return suites, pins, nil
}

func (g *generated) run(cmd *cobra.Command, s Streams) error {
	suites, pins, err := g.wants()
	if err != nil {
		return usage(cmd, err)
	}
	dir, err := g.where.find(cmd, s)
	if err != nil {
		return err
	}
	now := time.Now()
	var made *sealkeys.Set
	err = change(dir, func(set *sealkeys.Set) (*sealkeys.Set, error) {
		if set == nil && len(g.authorities) == 0 {
			return nil, usage(cmd, errors.New("there are no keys yet: name the door by --authority host:port, as app.example.com:443"))
		}
		identities, err := sealkeys.Identities(dir)
		if err == nil && len(identities) == 0 && len(pins) == 0 && set == nil {
			identities = make([]ed25519.PrivateKey, 1)
			identities[0], err = sealkeys.CreateIdentity(dir)
		}
		if err != nil {
			return nil, err
		}
		var changed bool
		made, changed, err = complete(set, g.authorities, suites, append(sealkeys.PinsOf(identities), pins...), now)
		if err != nil {
			return nil, err
		}
		if !made.Signed() && len(identities) > 0 {
			return made, made.Sign(now, sealkeys.Signers(identities)...)
		}
		if !changed {
			fmt.Fprintln(s.Err, "nothing was missing")
			return nil, nil
		}
		return made, nil
	})
	if err != nil {
		return err
	}
	return tell(s, dir, made)
}

// complete returns a set with what is missing in set, which may be nil, and
// whether anything was.
func complete(set *sealkeys.Set, authorities []string, suites []seal.Suite, pins []seal.Pin, now time.Time) (*sealkeys.Set, bool, error) {
	if set == nil {
		set, err := sealkeys.New(authorities, suites, dedupe(pins)...)
		if err != nil {
			return nil, false, err
		}
		return set, true, set.Rotate(now, false)
	}
	out := set.Clone()
	if err := extend(out, authorities, suites, pins); err != nil {
		return nil, false, err
	}
	if out.Due(now) || len(out.Authorities) != len(set.Authorities) || len(out.Suites) != len(set.Suites) {
		return out, true, out.Rotate(now, false)
	}
	return out, len(out.Pins) != len(set.Pins), nil
}

func dedupe(pins []seal.Pin) (out []seal.Pin) {
	for _, p := range pins {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

// extend adds what is missing to a set.
func extend(set *sealkeys.Set, authorities []string, suites []seal.Suite, pins []seal.Pin) error {
	if err := set.Name(slices.Concat(set.Authorities, authorities)); err != nil {
		return err
	}
	all := slices.Clone(set.Suites)
	for _, suite := range suites {
		if !slices.Contains(all, suite) {
			all = append(all, suite)
		}
	}
	return errors.Join(set.Only(all), set.Trust(pins...))
}

// tell writes the pins of a set that is signed, else what has to be signed.
func tell(s Streams, dir string, set *sealkeys.Set) error {
	if !set.Signed() {
		return tellUnsigned(s, set)
	}
	_, end := set.Ends()
	fmt.Fprintf(s.Err, "generation %d in %s, until %s\n", set.Generation, dir, end.UTC().Format(time.RFC3339))
	for _, p := range set.Pins {
		if _, err := fmt.Fprintln(s.Out, p); err != nil {
			return err
		}
	}
	return nil
}

func tellUnsigned(s Streams, set *sealkeys.Set) error {
	raw, err := sealkeys.MarshalUnsigned(set.Unsigned())
	if err != nil {
		return err
	}
	fmt.Fprintf(s.Err, "generation %d is to be signed: take this to the identity, run \"sallyport keys sign --identity FILE\" there,\n"+
		"and bring its output back by \"sallyport keys adopt\". Until then the documents in force are served.\n", set.Generation)
	_, err = s.Out.Write(raw)
	return err
}

func rotateCommand(s Streams) *cobra.Command {
	var where keysDir
	var files []string
	var drop bool
	cmd := &cobra.Command{
		Use:   "rotate [flags]",
		Short: "Make a new sealing key beside the old ones",
		Long: "Make a new sealing key of each suite beside the old ones, which stay until their end, and drop those that are over.\n" +
			"It is signed by the identity in the folder, or those named by --identity; without one, what has to be signed is written\n" +
			"to the standard output. Open connections stay. A server with its identity in the folder does this by itself.",
		Example: "  sallyport keys rotate\n" +
			"  sallyport keys rotate --identity /media/stick/identity.pem\n" +
			"  sallyport keys rotate > unsigned.json\n" +
			"  sallyport keys rotate --drop-old",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := where.find(cmd, s)
			if err != nil {
				return err
			}
			now := time.Now()
			var made *sealkeys.Set
			err = change(dir, func(set *sealkeys.Set) (*sealkeys.Set, error) {
				if set == nil {
					return nil, fmt.Errorf("%s: %w", dir, sealkeys.ErrNone)
				}
				identities, err := sealkeys.Identities(dir)
				if err != nil {
					return nil, err
				}
				for _, name := range files {
					identity, err := sealkeys.ReadIdentity(name)
					if err != nil {
						return nil, err
					}
					if !slices.ContainsFunc(identities, func(have ed25519.PrivateKey) bool { return have.Equal(identity) }) {
						identities = append(identities, identity)
					}
				}
				if drop && len(identities) == 0 {
					return nil, fail(exitUsage, "name its file by --identity", "--drop-old wants the identity at once: until somebody signs, no client could connect")
				}
				if drop {
					set.Drop()
				}
				if err := set.Rotate(now, true); err != nil {
					return nil, err
				}
				made = set
				if len(identities) == 0 {
					return set, nil
				}
				if err := set.Trust(sealkeys.PinsOf(identities)...); err != nil {
					return nil, err
				}
				return set, set.Sign(now, sealkeys.Signers(identities)...)
			})
			if err != nil {
				return err
			}
			return tell(s, dir, made)
		},
	}
	cmd.Flags().StringArrayVar(&files, "identity", nil, "also sign with the identity in this `file`; may be repeated")
	cmd.Flags().BoolVar(&drop, "drop-old", false, "forget the old keys at once: somebody else may have them. Clients that know no others fetch the new document")
	where.flags(cmd)
	return cmd
}
