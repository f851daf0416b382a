package ecsig

import (
	"strings"
	"testing"
)

// RFC 7518, section 3.4: a number of the signature that is small keeps its zeros.
func TestSignaturesHaveOneSize(t *testing.T) {
	for in, want := range map[string]string{
		"\x30\x06\x02\x01\x05\x02\x01\x07": strings.Repeat("\x00", 31) + "\x05" + strings.Repeat("\x00", 31) + "\x07",
		"\x30\x46\x02\x21\x00" + strings.Repeat("\xff", 32) + "\x02\x21\x00" + strings.Repeat("\xfe", 32): strings.Repeat("\xff", 32) + strings.Repeat("\xfe", 32),
		"\x30\x25\x02\x20\x7f" + strings.Repeat("\x00", 31) + "\x02\x01\x01":                              "\x7f" + strings.Repeat("\x00", 62) + "\x01",
	} {
		if got, err := Fixed([]byte(in)); string(got) != want || err != nil {
			t.Errorf("%x: got %x, want %x (%v)", in, got, want, err)
		}
	}
}
