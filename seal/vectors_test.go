package seal

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The vectors in spec/vectors/seal; README.md there says what each member is.

type hexBytes []byte

func (b hexBytes) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(b)), nil }

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

type vectorContext struct {
	Token     string `json:"token"`
	Authority string `json:"authority"`
	Target    string `json:"target"`
	Origin    string `json:"origin"`
}

type vectorSecrets struct {
	PRK  hexBytes `json:"prk"`
	Root hexBytes `json:"root"`
	C2S  hexBytes `json:"c2s"`
	S2C  hexBytes `json:"s2c"`
}

type vectorCredential struct {
	Kind       string   `json:"kind"`
	Value      string   `json:"value"`
	Proof      string   `json:"proof"`
	Private    hexBytes `json:"device_private"`
	Public     hexBytes `json:"device_public"`
	Thumbprint string   `json:"thumbprint"`
}

type vectorRecord struct {
	From   string   `json:"from"`
	Kind   string   `json:"kind"`
	More   bool     `json:"more"`
	Last   bool     `json:"last"`
	Data   hexBytes `json:"data"`
	Secret hexBytes `json:"epoch_secret"`
	Key    hexBytes `json:"key"`
	IV     hexBytes `json:"iv"`
	Number uint32   `json:"number"`
	Record hexBytes `json:"record"`
}

type vectorAgreement struct {
	ClientPrivate hexBytes `json:"client_private"`
	ClientPublic  hexBytes `json:"client_public"`
	Enc           hexBytes `json:"enc3"`
	S3            hexBytes `json:"s3"`
	Th3           hexBytes `json:"th3"`
	vectorSecrets
}

type vectorSession struct {
	Name          string        `json:"name"`
	Suite         uint16        `json:"suite"`
	Context       vectorContext `json:"context"`
	ServerPrivate hexBytes      `json:"server_private"`
	ServerPublic  hexBytes      `json:"server_public"`
	KeyID         hexBytes      `json:"key_id"`
	ClientPrivate hexBytes      `json:"client_private"`
	ClientPublic  hexBytes      `json:"client_public"`
	Prologue      hexBytes      `json:"prologue"`
	ClientHello   hexBytes      `json:"client_hello"`
	S1            hexBytes      `json:"s1"`
	Th1           hexBytes      `json:"th1"`
	ServerHello   hexBytes      `json:"server_hello"`
	S2            hexBytes      `json:"s2"`
	Th2           hexBytes      `json:"th2"`
	vectorSecrets
	ConfirmKey hexBytes          `json:"confirm_key"`
	Credential vectorCredential  `json:"credential"`
	Agreements []vectorAgreement `json:"agreements"`
	Records    []vectorRecord    `json:"records"`
}

type vectorKey struct {
	Suite     uint16   `json:"suite"`
	NotBefore int64    `json:"not_before"`
	NotAfter  int64    `json:"not_after"`
	Public    hexBytes `json:"public"`
	KeyID     hexBytes `json:"key_id"`
}

type vectorDocument struct {
	Name              string      `json:"name"`
	Pins              []string    `json:"pins"`
	Authority         string      `json:"authority"`
	MinimumGeneration uint32      `json:"minimum_generation"`
	Now               int64       `json:"now"`
	Suites            []uint16    `json:"suites"`
	Document          hexBytes    `json:"document"`
	Fault             string      `json:"fault"`
	Generation        uint32      `json:"generation,omitempty"`
	Keys              []vectorKey `json:"keys,omitempty"`
	Picked            hexBytes    `json:"picked,omitempty"`
}

type vectorFailure struct {
	Name     string         `json:"name"`
	Session  string         `json:"session"`
	Receiver string         `json:"receiver"`
	At       string         `json:"at"`
	Context  *vectorContext `json:"context,omitempty"`
	Messages []hexBytes     `json:"messages"`
	Closed   bool           `json:"closed,omitempty"`
	Fault    string         `json:"fault"`
}

type vectorFile[T any] struct {
	About   string `json:"about"`
	Go      string `json:"go"`
	Vectors []T    `json:"vectors"`
}

func vectorPath(name string) string {
	return filepath.Join("..", "spec", "vectors", "seal", name)
}

func readVectors[T any](t *testing.T, name string) vectorFile[T] {
	t.Helper()
	data, err := os.ReadFile(vectorPath(name))
	if err != nil {
		t.Fatal(err)
	}
	var f vectorFile[T]
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	if len(f.Vectors) == 0 {
		t.Fatalf("%s has no vectors", name)
	}
	return f
}

func (c vectorContext) context() Context { return Context(c) }

var kindNames = []string{"filler", "text", "binary", "auth", "end", "offer", "answer", "turn"}

var credentialNames = []string{"none", "ticket", "token"}

func unix(t time.Time) int64 { return t.Unix() }
