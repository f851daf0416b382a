package sealkeys

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/seal"
)

// MaxBundle is the largest text that travels between server and identity, in bytes.
const MaxBundle = maxFile

// unsigned is what travels to an identity that is kept elsewhere: readable, so
// that whoever signs sees what.
type unsigned struct {
	Version   int            `json:"sallyport_seal_unsigned"` // 1
	Documents []unsignedBody `json:"documents"`
}

type unsignedBody struct {
	Authority  string          `json:"authority"`
	Generation uint32          `json:"generation"`
	Issued     time.Time       `json:"issued"`
	Expires    time.Time       `json:"expires"`
	Keys       []unsignedEntry `json:"keys"`
}

type unsignedEntry struct {
	Suite     string    `json:"suite"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Public    []byte    `json:"public"`
}

// signedBundle is what comes back.
type signedBundle struct {
	Version   int               `json:"sallyport_seal_signed"` // 1
	Documents map[string][]byte `json:"documents"`
}

// MarshalUnsigned writes documents that are to be signed elsewhere.
func MarshalUnsigned(documents []seal.Document) ([]byte, error) {
	out := unsigned{Version: 1}
	for _, d := range documents {
		body := unsignedBody{Authority: d.Authority, Generation: d.Generation, Issued: d.Issued.UTC(), Expires: d.Expires.UTC()}
		for _, e := range d.Keys {
			body.Keys = append(body.Keys, unsignedEntry{e.Suite.String(), e.NotBefore.UTC(), e.NotAfter.UTC(), e.Public})
		}
		out.Documents = append(out.Documents, body)
	}
	return indented(out)
}

// ParseUnsigned reads what MarshalUnsigned wrote.
func ParseUnsigned(raw []byte) ([]seal.Document, error) {
	var in unsigned
	if err := strict(raw, &in); err != nil {
		return nil, fmt.Errorf("not what \"sallyport keys rotate\" writes to be signed: %w", err)
	}
	if in.Version != 1 || len(in.Documents) == 0 || len(in.Documents) > MaxAuthorities {
		return nil, errors.New("not what \"sallyport keys rotate\" writes to be signed, in version 1")
	}
	var list []seal.Document
	seen := map[string]bool{}
	for _, body := range in.Documents {
		d := seal.Document{Authority: body.Authority, Generation: body.Generation, Issued: body.Issued, Expires: body.Expires}
		for _, e := range body.Keys {
			suite, err := ParseSuite(e.Suite)
			if err != nil {
				return nil, err
			}
			d.Keys = append(d.Keys, seal.Entry{Suite: suite, NotBefore: e.NotBefore, NotAfter: e.NotAfter, Public: e.Public})
		}
		if _, err := d.Body(); err != nil {
			return nil, err
		}
		if seen[d.Authority] {
			return nil, fmt.Errorf("%s twice", d.Authority)
		}
		seen[d.Authority] = true
		list = append(list, d)
	}
	return list, nil
}

// MarshalSigned writes documents that were signed, by authority.
func MarshalSigned(raws map[string][]byte) ([]byte, error) { return indented(signedBundle{1, raws}) }

// ParseSigned reads what MarshalSigned wrote. [Set.Adopt] verifies it.
func ParseSigned(raw []byte) (map[string][]byte, error) {
	var in signedBundle
	if err := strict(raw, &in); err != nil {
		return nil, fmt.Errorf("not what \"sallyport keys sign\" writes: %w", err)
	}
	if in.Version != 1 || len(in.Documents) == 0 || len(in.Documents) > MaxAuthorities {
		return nil, errors.New("not what \"sallyport keys sign\" writes, in version 1")
	}
	return in.Documents, nil
}

func indented(v any) ([]byte, error) {
	raw, err := json.MarshalIndent(v, "", "  ")
	return append(raw, '\n'), err
}
