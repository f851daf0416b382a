package seal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// First bytes of the messages on the wire.
const (
	typeClientHello = 0x01
	typeServerHello = 0x02
	typeRecord      = 0x10
)

// Kind is what a record is.
type Kind uint8

// The kinds of records. An owner of a session sends Filler, Text and Binary by
// [Session.Seal]; the others have methods of their own.
const (
	Filler Kind = iota // nothing; hides that nothing is said
	Text               // data of a text message
	Binary             // data of a binary message
	Auth               // the client's credential: its first record, and only that
	End                // the last record of a direction
	Offer              // client: a fresh key for a new agreement
	Answer             // server: the encapsulation to it; its last record under the old keys
	Turn               // client: its last record under the old keys

	maxKind = Turn
)

const (
	maskKind = 0x0f
	flagMore = 0x40 // the message goes on in a later record of the same kind
	flagLast = 0x80 // the last record of its epoch
)

// MaxReason is the longest text of an end, as in a close frame (RFC 6455,
// section 5.5).
const MaxReason = 123

// NoCode is the close code of an end that has none (RFC 6455, section 7.1.5).
const NoCode = 1005

// endData is the content of an End record.
func endData(code uint16, reason string) ([]byte, error) {
	if code == NoCode && reason == "" {
		return nil, nil
	}
	b := append(binary.BigEndian.AppendUint16(nil, code), reason...)
	if _, _, err := parseEnd(b); err != nil {
		return nil, faultBy(FaultMisuse, err)
	}
	return b, nil
}

// parseEnd reads the content of an End record.
func parseEnd(b []byte) (code uint16, reason string, err error) {
	if len(b) == 0 {
		return NoCode, "", nil
	}
	if len(b) < 2 || len(b) > 2+MaxReason || !utf8.Valid(b[2:]) {
		return 0, "", errors.New("an end of another form")
	}
	code = binary.BigEndian.Uint16(b)
	sendable := code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
	if !sendable {
		return 0, "", fmt.Errorf("an end with code %d", code)
	}
	return code, string(b[2:]), nil
}
