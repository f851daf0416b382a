package ws

import (
	"bytes"
	"testing"
	"unicode/utf8"
)

// texts are beginnings that must be judged right at every single byte.
var texts = []string{
	"", "plain", "Hello-µ@ßöäüàá-UTF-8!!", "κόσμε", "€", "😀😀", "\u0000", "\u007f", "\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000",
	"\uffff", "\U00010000", "\U0010ffff", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xc0\x80", "\xc1\xbf",
	"\xe0\x80\x80", "\xe0\x9f\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xed\xa0\x80", "\xed\xbf\xbf", "\x80", "\xbf", "a\x80",
	"\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xe2(\xa1", "\xf0(\x8c\xbc", "\xfe", "\xff", "long enough for eight \xe2\x82\xac and then \xff",
	"eight by\xc3\xa4eight by\xf0\x9f\x98\x80eight by\xed\xa0\x80", "\ufeffbom", "\ufffd", "\ufffe", "\U0001fffe",
}

func TestUTF8AtEveryByte_SR54_AT38(t *testing.T) {
	for _, s := range texts {
		whole := UTF8{}
		if got, want := whole.Write([]byte(s)), possible([]byte(s), false); got != want {
			t.Errorf("%+q is possible: %v, want %v", s, got, want)
		}
		var u UTF8
		failed := false
		for i := range len(s) {
			want := possible([]byte(s[:i+1]), false)
			if got := u.Write([]byte{s[i]}); got != want {
				t.Errorf("%+q up to byte %d is possible: %v, want %v", s, i, got, want)
			}
			if failed = failed || !want; !failed && u.Complete() != utf8.ValidString(s[:i+1]) {
				t.Errorf("%+q up to byte %d is complete: %v", s, i, u.Complete())
			}
		}
		if u.Complete() != utf8.ValidString(s) {
			t.Errorf("%+q is complete: %v", s, u.Complete())
		}
		if failed && (u.Write(nil) || u.Write([]byte("a")) || u.Complete()) {
			t.Errorf("%+q: the failure was forgotten", s)
		}
	}
}

// All sequences of two bytes, and of four with every first pair, against the
// standard library: every border of the table is in there.
func TestUTF8AllPairs_SR54(t *testing.T) {
	tails := []string{"", "\x7f", "\x80", "\x8f", "\x90", "\x9f", "\xa0", "\xbf", "\xc0", "\x80\x80", "\xbf\xbf", "\x80\x7f", "\x80\xc0"}
	for a := range 256 {
		for b := range 256 {
			for _, tail := range tails {
				s := append([]byte{byte(a), byte(b)}, tail...)
				var one, two UTF8
				ok := one.Write(s)
				if want := possible(s, false); ok != want {
					t.Fatalf("%x is possible: %v, want %v", s, ok, want)
				}
				if got := two.Write(s[:1]) && two.Write(s[1:]); got != ok || one.Complete() != two.Complete() || one.Complete() != utf8.Valid(s) {
					t.Fatalf("%x: whole %v %v, cut %v %v", s, ok, one.Complete(), got, two.Complete())
				}
			}
		}
	}
}

func FuzzUTF8(f *testing.F) {
	for _, s := range texts {
		f.Add([]byte(s), uint(1))
		f.Add([]byte("ascii first, then "+s+" and more"), uint(9))
	}
	f.Fuzz(func(t *testing.T, b []byte, cut uint) {
		before := bytes.Clone(b)
		var whole, parts, single UTF8
		at := int(cut % uint(len(b)+1))
		ok := whole.Write(b)
		cutOK := parts.Write(b[:at]) && parts.Write(b[at:])
		singleOK := true
		for i := range b {
			now := single.Write(b[i : i+1])
			if now && !singleOK {
				t.Fatalf("%x recovered at byte %d", b, i)
			}
			singleOK = now
		}
		if ok != cutOK || ok != singleOK || ok != possible(b, false) {
			t.Fatalf("%x: whole %v, cut at %d %v, byte by byte %v, want %v", b, ok, at, cutOK, singleOK, possible(b, false))
		}
		if want := utf8.Valid(b); whole.Complete() != want || parts.Complete() != want || single.Complete() != want {
			t.Fatalf("%x: complete %v %v %v, want %v", b, whole.Complete(), parts.Complete(), single.Complete(), want)
		}
		if !bytes.Equal(b, before) {
			t.Fatal("Write changed its input")
		}
	})
}
