package ws

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// verdicts is the battery of B.4: what a stream is, and what must come of it.
// A fault is given by its code alone. Every row is checked in every split of the
// input, against the oracle, and where it is legal in the other role too.
var verdicts = []struct {
	name   string
	l      limits
	stream []byte
	want   []string
}{
	{"a text message", limits{}, m(0x81, "hello"), []string{`1 "hello"`}},
	{"an empty text message", limits{}, m(0x81, ""), []string{`1 ""`}},
	{"an empty binary message", limits{}, m(0x82, ""), []string{`2 ""`}},
	{"two messages in one read", limits{}, m(0x81, "a", 0x82, "b"), []string{`1 "a"`, `2 "b"`}},
	{"a message of 126 bytes", limits{}, m(0x82, strings.Repeat("x", 126)), []string{`2 "` + strings.Repeat("x", 126) + `"`}},
	{"nothing at all", limits{}, nil, nil},
	{"a header and silence", limits{}, m(0x81, "hello")[:6], nil},

	{"SR-50 AT-30 an unmasked client frame", limits{}, u(0x81, "hello"), []string{"fault 1002"}},
	{"SR-50 AT-30 an unmasked empty client frame", limits{}, u(0x81, ""), []string{"fault 1002"}},
	{"SR-50 AT-30 an unmasked ping", limits{}, u(0x89, ""), []string{"fault 1002"}},
	{"SR-50 AT-30 an unmasked close", limits{}, u(0x88, ""), []string{"fault 1002"}},
	{"SR-50 AT-30 unmasked after masked", limits{}, join(m(0x81, "a"), u(0x81, "b")), []string{`1 "a"`, "fault 1002"}},
	{"SR-50 a masked server frame", limits{role: Client}, m(0x81, "hello"), []string{"fault 1002"}},
	{"SR-50 a masked server ping", limits{role: Client}, m(0x89, ""), []string{"fault 1002"}},

	{"SR-51 AT-31 RSV1 without an extension", limits{}, m(0xc1, "x"), []string{"fault 1002"}},
	{"SR-51 AT-31 RSV2", limits{}, m(0xa1, "x"), []string{"fault 1002"}},
	{"SR-51 AT-31 RSV3 on a ping", limits{}, m(0x99, "x"), []string{"fault 1002"}},
	{"SR-51 AT-31 RSV1 on a continuation", limits{}, m(0x01, "a", 0xc0, "b"), []string{"fault 1002"}},
	{"SR-51 AT-31 opcode 3", limits{}, m(0x83, "x"), []string{"fault 1002"}},
	{"SR-51 AT-31 opcode 15", limits{}, m(0x8f, ""), []string{"fault 1002"}},
	{"SR-51 AT-31 a reserved opcode after a message", limits{}, m(0x81, "a", 0x8b, ""), []string{`1 "a"`, "fault 1002"}},

	{"SR-52 AT-36 a ping without payload", limits{}, m(0x89, ""), []string{`9 ""`}},
	{"SR-52 AT-36 a ping of 125 bytes", limits{}, m(0x89, strings.Repeat("p", 125)), []string{`9 "` + strings.Repeat("p", 125) + `"`}},
	{"SR-52 AT-36 a ping of 126 bytes", limits{}, m(0x89, strings.Repeat("p", 126)), []string{"fault 1002"}},
	{"SR-52 AT-36 a ping of 70000 bytes", limits{}, m(0x89, strings.Repeat("p", 70000))[:14], []string{"fault 1002"}},
	{"SR-52 AT-36 a fragmented ping", limits{}, m(0x09, "a", 0x80, "b"), []string{"fault 1002"}},
	{"SR-52 AT-36 a fragmented close", limits{}, m(0x08, ""), []string{"fault 1002"}},
	{"SR-52 AT-36 a ping with bytes that are no text", limits{}, m(0x89, "\xff\xfe"), []string{`9 "\xff\xfe"`}},
	{"SR-52 AT-37 an unsolicited pong", limits{}, m(0x8a, "x", 0x81, "a"), []string{`10 "x"`, `1 "a"`}},
	{"SR-52 AT-36 control frames between fragments", limits{}, m(0x01, "a", 0x89, "1", 0x00, "b", 0x8a, "2", 0x80, "c"),
		[]string{`9 "1"`, `10 "2"`, `1 "abc"`}},
	{"SR-52 AT-36 a ping inside a split character", limits{}, m(0x01, "\xe2\x82", 0x89, "\xff", 0x80, "\xac"), []string{`9 "\xff"`, `1 "€"`}},
	{"SR-52 AT-36 a close inside a message", limits{}, m(0x01, "a", 0x88, "\x03\xe8", 0x80, "b"), []string{`close 1000 ""`}},

	{"SR-53 AT-33 125 bytes in 16 bits", limits{}, []byte{0x82, 0xfe, 0, 125}, []string{"fault 1002"}},
	{"SR-53 AT-33 no bytes in 16 bits", limits{}, []byte{0x82, 0xfe, 0, 0}, []string{"fault 1002"}},
	{"SR-53 AT-33 5 bytes in 64 bits", limits{}, []byte{0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 5}, []string{"fault 1002"}},
	{"SR-53 AT-33 65535 bytes in 64 bits", limits{}, []byte{0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, []string{"fault 1002"}},
	{"SR-53 AT-32 the top bit of a length", limits{}, []byte{0x82, 0xff, 0x80}, []string{"fault 1002"}},
	{"SR-53 AT-32 a length of 2^64-1", limits{}, []byte{0x82, 0xff, 255, 255, 255, 255, 255, 255, 255, 255}, []string{"fault 1002"}},
	{"SR-53 AT-32 a length of 2^63-1", limits{}, []byte{0x82, 0xff, 127, 255, 255, 255, 255, 255, 255, 255}, []string{"fault 1009"}},
	{"SR-53 AT-32 a length of 16 GiB", limits{}, []byte{0x82, 0xff, 0, 0, 0, 4, 0, 0, 0, 0}, []string{"fault 1009"}},
	{"SR-53 AT-32 one byte over the default limit", limits{}, []byte{0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 1}, []string{"fault 1009"}},
	{"SR-53 a message as large as the limit", limits{message: 5}, m(0x81, "hello"), []string{`1 "hello"`}},
	{"SR-53 a message one byte over the limit", limits{message: 5}, m(0x81, "hello!")[:2], []string{"fault 1009"}},
	{"SR-53 fragments as large as the limit", limits{message: 5}, m(0x01, "hel", 0x80, "lo"), []string{`1 "hello"`}},
	{"SR-53 fragments one byte over the limit", limits{message: 5}, m(0x01, "hel", 0x80, "lo!"), []string{"fault 1009"}},
	{"SR-53 AT-32 a sum of lengths that wraps in 64 bits", limits{message: 100}, join(m(0x02, "0123456789"),
		[]byte{0x80, 0xff, 0x7f, 255, 255, 255, 255, 255, 255, 255}), []string{"fault 1009"}},
	{"SR-53 the limit is of a message, not of a connection", limits{message: 3}, m(0x82, "abc", 0x82, "def"), []string{`2 "abc"`, `2 "def"`}},
	{"SR-53 control frames do not count", limits{message: 2}, m(0x01, "a", 0x89, "a long payload", 0x80, "b"), []string{`9 "a long payload"`, `1 "ab"`}},

	{"AT-34 a continuation of nothing", limits{}, m(0x80, "x"), []string{"fault 1002"}},
	{"AT-34 a continuation of nothing, to be continued", limits{}, m(0x00, "x"), []string{"fault 1002"}},
	{"AT-34 a continuation after a whole message", limits{}, m(0x81, "a", 0x80, "b"), []string{`1 "a"`, "fault 1002"}},
	{"AT-34 a continuation after a whole fragmented message", limits{}, m(0x01, "a", 0x80, "b", 0x80, "c"), []string{`1 "ab"`, "fault 1002"}},
	{"AT-34 a text inside a text", limits{}, m(0x01, "a", 0x81, "b"), []string{"fault 1002"}},
	{"AT-34 a text continued as binary", limits{}, m(0x01, "a", 0x82, "b"), []string{"fault 1002"}},
	{"AT-34 a binary continued as text", limits{}, m(0x02, "a", 0x01, "b"), []string{"fault 1002"}},

	{"AT-35 as many fragments as allowed", limits{fragments: 3}, m(0x01, "a", 0x00, "b", 0x80, "c"), []string{`1 "abc"`}},
	{"AT-35 one fragment too many", limits{fragments: 3}, m(0x01, "a", 0x00, "b", 0x00, "c", 0x80, "d"), []string{"fault 1009"}},
	{"AT-35 128 fragments by default", limits{}, join(m(0x01, ""), bytes.Repeat(m(0x00, ""), 126), m(0x80, "x")), []string{`1 "x"`}},
	{"AT-35 129 fragments by default", limits{}, join(m(0x01, ""), bytes.Repeat(m(0x00, ""), 127), m(0x80, "x")), []string{"fault 1009"}},
	{"AT-35 empty fragments count", limits{fragments: 3}, m(0x01, "", 0x00, "", 0x00, "", 0x80, ""), []string{"fault 1009"}},
	{"AT-35 control frames are no fragments", limits{fragments: 2}, m(0x01, "a", 0x89, "", 0x89, "", 0x80, "b"), []string{`9 ""`, `9 ""`, `1 "ab"`}},
	{"AT-35 fragments are counted per message", limits{fragments: 2}, m(0x01, "a", 0x80, "b", 0x01, "c", 0x80, "d"), []string{`1 "ab"`, `1 "cd"`}},
	{"AT-35 one frame per message", limits{fragments: 1}, m(0x81, "a", 0x01, "b", 0x80, "c"), []string{`1 "a"`, "fault 1009"}},
	{"AT-35 empty fragments around a byte", limits{}, m(0x01, "", 0x00, "x", 0x80, ""), []string{`1 "x"`}},
	{"AT-35 a message of empty fragments", limits{}, m(0x02, "", 0x00, "", 0x80, ""), []string{`2 ""`}},

	{"SR-54 AT-38 a byte that is never UTF-8", limits{}, m(0x81, "ab\xffcd"), []string{"fault 1007"}},
	{"SR-54 AT-38 an overlong slash", limits{}, m(0x81, "\xc0\xaf"), []string{"fault 1007"}},
	{"SR-54 AT-38 an overlong form of three bytes", limits{}, m(0x81, "\xe0\x80\xaf"), []string{"fault 1007"}},
	{"SR-54 AT-38 a surrogate", limits{}, m(0x81, "\xed\xa0\x80"), []string{"fault 1007"}},
	{"SR-54 AT-38 above U+10FFFF", limits{}, m(0x81, "\xf4\x90\x80\x80"), []string{"fault 1007"}},
	{"SR-54 AT-38 an incomplete last character", limits{}, m(0x81, "ab\xe2\x82"), []string{"fault 1007"}},
	{"SR-54 AT-38 the last fragment leaves a character open", limits{}, m(0x01, "\xe2", 0x80, ""), []string{"fault 1007"}},
	{"SR-54 AT-38 a character over three fragments", limits{}, m(0x01, "\xe2", 0x00, "\x82", 0x80, "\xac"), []string{`1 "€"`}},
	{"SR-54 AT-38 an impossible byte in the next fragment", limits{}, m(0x01, "\xf4", 0x00, "\x90"), []string{"fault 1007"}},
	{"SR-54 AT-38 an impossible byte long before the end of its frame", limits{}, m(0x81, "\xf4\x90"+strings.Repeat("x", 90))[:8], []string{"fault 1007"}},
	{"SR-54 binary is not text", limits{}, m(0x82, "\xff\xfe"), []string{`2 "\xff\xfe"`}},
	{"SR-54 a text after an incomplete binary is judged afresh", limits{}, m(0x82, "\xe2", 0x81, "ok"), []string{`2 "\xe2"`, `1 "ok"`}},
	{"SR-54 AT-38 a close reason that is not UTF-8", limits{}, m(0x88, "\x03\xe8\xff"), []string{"fault 1007"}},
	{"SR-54 AT-38 a close reason that ends inside a character", limits{}, m(0x88, "\x03\xe8ab\xe2"), []string{"fault 1007"}},

	{"SR-55 a close without a code", limits{}, m(0x88, ""), []string{`close 1005 ""`}},
	{"SR-55 a close with a code and a reason", limits{}, m(0x88, "\x03\xe9bye €"), []string{`close 1001 "bye €"`}},
	{"SR-55 AT-39 a close with one byte", limits{}, m(0x88, "\x03"), []string{"fault 1002"}},
	{"SR-55 AT-39 a reason of 123 bytes", limits{}, m(0x88, "\x03\xe8"+strings.Repeat("r", 123)), []string{`close 1000 "` + strings.Repeat("r", 123) + `"`}},
	{"SR-55 AT-39 a reason of 124 bytes", limits{}, m(0x88, "\x03\xe8"+strings.Repeat("r", 124)), []string{"fault 1002"}},
	{"SR-55 AT-39 close code 1005", limits{}, m(0x88, "\x03\xed"), []string{"fault 1002"}},
	{"SR-55 AT-39 close code 1006", limits{}, m(0x88, "\x03\xee"), []string{"fault 1002"}},
	{"SR-56 AT-39 data after a close", limits{}, m(0x88, "\x03\xe8", 0x81, "late"), []string{`close 1000 ""`}},
	{"SR-56 AT-39 a storm of closes", limits{}, m(0x88, "", 0x88, "", 0x88, "\x00"), []string{`close 1005 ""`}},
	{"SR-56 AT-39 garbage after a close", limits{}, join(m(0x88, ""), []byte("\xff\xff\xff\xff\xff")), []string{`close 1005 ""`}},
	{"AT-42 a plain HTTP request where a frame belongs", limits{}, []byte("GET / HTTP/1.1\r\n\r\n"), []string{"fault 1002"}},
}

func TestVerdicts_SR50_SR51_SR52_SR53_SR54_SR55_SR56(t *testing.T) {
	for _, row := range verdicts {
		t.Run(row.name, func(t *testing.T) {
			got := transcribe(t, row.l, row.stream)
			if !matches(got, row.want) {
				t.Errorf("got %q, want %q", got, row.want)
			}
			if o := oracle(row.l, row.stream); !slices.Equal(got, o) {
				t.Errorf("got %q, the oracle says %q", got, o)
			}
		})
	}
}

// A stream gives the same transcript however it is cut: byte by byte, at every
// single place, at every two places when it is short, and at random.
func TestEverySplitGivesTheSameEvents_AT42(t *testing.T) {
	for _, row := range verdicts {
		want := transcribe(t, row.l, row.stream)
		check := func(cuts ...int) {
			t.Helper()
			if got := transcribe(t, row.l, row.stream, cuts...); !slices.Equal(got, want) {
				t.Fatalf("%s, cut at %v: got %q, want %q", row.name, cuts, got, want)
			}
		}
		n := len(row.stream)
		var all []int
		for i := range n {
			all = append(all, i)
			check(i)
		}
		check(all...)
		if n <= 40 {
			for i := range n {
				for j := i; j < n; j++ {
					check(i, j)
				}
			}
		}
		r := rand.New(rand.NewPCG(1, uint64(n)))
		for range 50 {
			check(randomCuts(r, n)...)
		}
	}
}

// What a server must accept from a client, a client must accept from a server
// without the mask; and so with what it must refuse, but for the mask itself.
func TestBothRolesJudgeAlike_SR50(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for range 300 {
		masked, plain := randomFrames(r)
		a, b := transcribe(t, limits{}, masked), transcribe(t, limits{role: Client}, plain)
		if !slices.Equal(a, b) {
			t.Fatalf("server %q, client %q", a, b)
		}
	}
}

// All first bytes, in and out of a message, with both verdicts of the oracle.
func TestEveryFirstByte_SR51_SR52_AT31_AT42(t *testing.T) {
	accepted := 0
	for _, role := range []Role{Server, Client} {
		for c := range 256 {
			for _, before := range []string{"", "\x01", "\x02"} {
				var stream []byte
				if before != "" {
					stream = frame(role == Server, before[0], "a")
				}
				stream = append(stream, frame(role == Server, byte(c), "")...)
				got, want := transcribe(t, limits{role: role}, stream), oracle(limits{role: role}, stream)
				if !slices.Equal(got, want) {
					t.Fatalf("role %d, first byte %#02x after %q: got %q, want %q", role, c, before, got, want)
				}
				if len(got) == 0 || !strings.HasPrefix(got[0], "fault") {
					accepted++
				}
			}
		}
	}
	// Per role: alone text, binary (each with and without FIN), close, ping, pong;
	// inside a message a continuation (twice) and the three control frames.
	if want := 2 * (7 + 5 + 5); accepted != want {
		t.Errorf("%d first bytes are accepted, want %d", accepted, want)
	}
}

// Every length around a border, in each encoding that can hold it.
func TestLengthBorders_SR53_AT32_AT33(t *testing.T) {
	borders := []uint64{0, 1, 124, 125, 126, 127, 65534, 65535, 65536, 65537, 1<<31 - 1, 1 << 31, 1<<32 - 1, 1 << 32,
		1 << 34, 1 << 53, 1<<63 - 1, 1 << 63, 1<<64 - 1}
	for _, max := range []int64{1, 125, 126, 65535, 65536, 1 << 31, 1 << 32, 1<<63 - 1} {
		for _, n := range borders {
			heads := map[string][]byte{"64 bits": {0x82, 0xff, byte(n >> 56), byte(n >> 48), byte(n >> 40), byte(n >> 32), byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}}
			if n < 126 {
				heads["7 bits"] = []byte{0x82, 0x80 | byte(n)}
			}
			if n <= 0xffff {
				heads["16 bits"] = []byte{0x82, 0xfe, byte(n >> 8), byte(n)}
			}
			for name, head := range heads {
				least := map[bool]string{n < 126: "7 bits", n >= 126 && n <= 0xffff: "16 bits", n > 0xffff: "64 bits"}[true]
				want := ""
				switch {
				case n >= 1<<63, name != least:
					want = "fault 1002"
				case n > uint64(max):
					want = "fault 1009"
				}
				got := strings.Join(transcribe(t, limits{message: max}, head), "")
				if !strings.HasPrefix(got, want) || want == "" && got != "" {
					t.Errorf("%d bytes in %s, limit %d: got %q, want %q", n, name, max, got, want)
				}
			}
		}
	}
}

// All 65,536 close codes, read and written.
func TestEveryCloseCode_SR55_AT39(t *testing.T) {
	valid := 0
	for code := range 1 << 16 {
		forbidden := code <= 999 || code >= 1004 && code <= 1006 || code >= 1015 && code <= 2999 || code >= 5000
		if got := ValidCloseCode(uint16(code)); got == forbidden {
			t.Fatalf("ValidCloseCode(%d) is %v", code, got)
		}
		want := fmt.Sprintf(`close %d ""`, code)
		if forbidden {
			want = "fault 1002 a close code is not valid on the wire"
		} else {
			valid++
		}
		got := transcribe(t, limits{}, frame(true, 0x88, string([]byte{byte(code >> 8), byte(code)})))
		if len(got) != 1 || got[0] != want {
			t.Fatalf("code %d: got %q, want %q", code, got, want)
		}
	}
	if want := 4 + 8 + 2000; valid != want {
		t.Errorf("%d codes are valid, want %d", valid, want)
	}
}

// matches compares transcripts; a wanted fault is given without its reason.
func matches(got, want []string) bool {
	return slices.EqualFunc(got, want, func(g, w string) bool {
		return g == w || strings.HasPrefix(w, "fault") && strings.HasPrefix(g, w+" ")
	})
}

func randomCuts(r *rand.Rand, n int) (cuts []int) {
	for range r.IntN(6) {
		cuts = append(cuts, r.IntN(n+1))
	}
	slices.Sort(cuts)
	return cuts
}

// randomFrames writes the same frames with and without a mask: mostly a legal
// stream, now and then a frame out of place.
func randomFrames(r *rand.Rand) (masked, plain []byte) {
	open := false
	for range 1 + r.IntN(12) {
		first, size := 0, r.IntN(20)
		if r.IntN(6) == 0 {
			size = 100 + r.IntN(60)
		}
		switch k := r.IntN(20); {
		case k < 4:
			first, size = 0x89+r.IntN(2), r.IntN(126)
		case k == 4:
			first = r.IntN(256)
		case k == 5 && r.IntN(4) == 0:
			first, size = 0x88, 0
		case open:
			first = r.IntN(2) * 0x80
		default:
			first = 1 + r.IntN(2) + r.IntN(2)*0x80
		}
		if first&0x0f < 8 {
			open = first < 0x80
		}
		payload := strings.Repeat("aé€😀", size)[:size]
		masked = append(masked, frame(true, byte(first), payload)...)
		plain = append(plain, frame(false, byte(first), payload)...)
	}
	return masked, plain
}
