package seal

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// attacks are what somebody in between can do with records; each returns what
// the victim gets instead of the record sent.
func TestRecordAttacks_SR97(t *testing.T) {
	for _, s := range suites {
		for _, tt := range []struct {
			name   string
			attack func(h *shaken, from, to *Session) []byte
		}{
			{"a record of another connection", func(h *shaken, from, to *Session) []byte {
				other := shake(t, s, nil)
				return must(other.ends()[slices.Index(h.ends(), from)].Seal(nil, Text, false, []byte("x")))
			}},
			{"a record reflected to its sender", func(h *shaken, from, to *Session) []byte {
				return must(to.Seal(nil, Text, false, []byte("x")))
			}},
			{"a record twice", func(h *shaken, from, to *Session) []byte {
				r := must(from.Seal(nil, Text, false, []byte("x")))
				must(to.Open(slices.Clone(r)))
				return r
			}},
			{"the second record first", func(h *shaken, from, to *Session) []byte {
				must(from.Seal(nil, Text, false, []byte("x")))
				return must(from.Seal(nil, Text, false, []byte("y")))
			}},
			{"a record before one of the last epoch", func(h *shaken, from, to *Session) []byte {
				must(from.Ratchet(nil))
				return must(from.Seal(nil, Text, false, []byte("y")))
			}},
			{"a record of an epoch that is over", func(h *shaken, from, to *Session) []byte {
				r := must(from.Seal(nil, Text, false, []byte("x")))
				must(to.Open(slices.Clone(r)))
				must(to.Open(must(from.Ratchet(nil))))
				return r
			}},
			{"a first message of the handshake", func(h *shaken, from, to *Session) []byte { return slices.Clone(h.hello) }},
			{"an answer of the handshake", func(h *shaken, from, to *Session) []byte { return slices.Clone(h.answer) }},
			{"the credential again", func(h *shaken, from, to *Session) []byte { return slices.Clone(h.auth) }},
			{"nothing", func(h *shaken, from, to *Session) []byte { return nil }},
			{"a record too long", func(h *shaken, from, to *Session) []byte {
				return append([]byte{typeRecord}, make([]byte, MaxRecord)...)
			}},
			{"two records in one message", func(h *shaken, from, to *Session) []byte {
				return must(from.Seal(must(from.Seal(nil, Text, false, nil)), Text, false, nil))
			}},
		} {
			t.Run(s.String()+": "+tt.name, func(t *testing.T) {
				for side := range 2 {
					h := shake(t, s, nil)
					from, to := h.ends()[side], h.ends()[1-side]
					r, err := to.Open(tt.attack(h, from, to))
					wantFault(t, err, FaultBroken)
					if r.Data != nil || r.Kind != Filler {
						t.Errorf("delivered %+v", r)
					}
					_, again := to.Open(must(from.Seal(nil, Text, false, []byte("good"))))
					wantFault(t, again, FaultBroken) // no second try
					_, sealed := to.Seal(nil, Text, false, []byte("x"))
					wantFault(t, sealed, FaultBroken)
					wantFault(t, to.Closed(), FaultBroken)
					wantErased(t, to)
				}
			})
		}
	}
}

// TestRecordFlipped_SR97 flips every byte of a record, and cuts it everywhere.
func TestRecordFlipped_SR97(t *testing.T) {
	h := shake(t, Classical, nil)
	record := must(h.client.Seal(nil, Text, false, []byte("forty-two bytes of data make two buckets..")))
	snapshot := h.server.in
	try := func(name string, bad []byte) {
		in := snapshot
		if _, _, data, err := in.open(bad); FaultOf(err) != FaultBroken || data != nil {
			t.Errorf("%s: got %v %q", name, err, data)
		}
	}
	for i := range record {
		for bit := range 8 {
			bad := slices.Clone(record)
			bad[i] ^= 1 << bit
			try(fmt.Sprintf("byte %d, bit %d", i, bit), bad)
		}
	}
	for n := range record {
		try(fmt.Sprintf("%d bytes", n), slices.Clone(record[:n]))
		try(fmt.Sprintf("without %d bytes", n), slices.Clone(record[n+1:]))
	}
	try("a byte more", append(slices.Clone(record), 0))
	if _, err := h.server.Open(record); err != nil {
		t.Errorf("the record itself: %v", err)
	}
}

// TestMalformedInside: what only the other side itself can have sealed.
func TestMalformedInside(t *testing.T) {
	inner := func(head byte, n int, rest ...byte) []byte {
		return append([]byte{head, byte(n >> 8), byte(n)}, rest...)
	}
	for _, tt := range []struct {
		name  string
		inner []byte
		want  Fault
	}{
		{"a text", inner(byte(Text), 1, 'a'), ""},
		{"a text with padding", inner(byte(Text), 1, 'a', 0, 0), ""},
		{"an empty text", inner(byte(Text), 0), ""},
		{"filler", inner(byte(Filler), 0, 0, 0, 0), ""},
		{"the last of its epoch", inner(byte(Filler)|flagLast, 0), ""},
		{"padding that is not zero", inner(byte(Text), 1, 'a', 0, 1), FaultMalformed},
		{"more data than there is", inner(byte(Text), 2, 'a'), FaultMalformed},
		{"an unknown kind", inner(8, 0), FaultMalformed},
		{"an unknown flag 0x10", inner(byte(Text)|0x10, 0), FaultMalformed},
		{"an unknown flag 0x20", inner(byte(Text)|0x20, 0), FaultMalformed},
		{"filler with data", inner(byte(Filler), 1, 'a'), FaultMalformed},
		{"filler that goes on", inner(byte(Filler)|flagMore, 0), FaultMalformed},
		{"an empty part", inner(byte(Text)|flagMore, 0), FaultMalformed},
		{"an end that goes on", inner(byte(End)|flagMore, 0), FaultMalformed},
		{"an end of one byte", inner(byte(End), 1, 3), FaultMalformed},
		{"an end with code 1005", inner(byte(End), 2, 3, 237), FaultMalformed},
		{"an end with code 999", inner(byte(End), 2, 3, 231), FaultMalformed},
		{"an end with code 5000", inner(byte(End), 2, 19, 136), FaultMalformed},
		{"an end with bad UTF-8", inner(byte(End), 3, 3, 232, 0xff), FaultMalformed},
		{"an end without a code", inner(byte(End), 0), ""},
		{"a credential", inner(byte(Auth), 0), FaultMalformed},
		{"an answer not asked for", inner(byte(Answer), 32, make([]byte, 32)...), FaultMalformed},
		{"a turn not asked for", inner(byte(Turn), 0), FaultMalformed},
		{"an offer of another length", inner(byte(Offer), 31, make([]byte, 31)...), FaultMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for side := range 2 {
					h := shakeWith(t, Classical, nil, Options{Now: time.Now})
					time.Sleep(MinAgreement)
					from, to := h.ends()[side], h.ends()[1-side]
					_, err := to.Open(sealRaw(from, tt.inner))
					wantFault(t, err, tt.want)
				}
			})
		})
	}
}

// sealRaw seals any inner plaintext as s's next record.
func sealRaw(s *Session, inner []byte) []byte {
	h := &s.out
	nonce := h.number()
	h.count(1 + len(inner) + tagSize)
	return h.aead.Seal([]byte{typeRecord}, nonce, inner, []byte{typeRecord})
}

func TestMessagesInParts(t *testing.T) {
	for _, tt := range []struct {
		name  string
		parts func(s *Session) [][]byte
		want  Fault
	}{
		{"text in three records", func(s *Session) [][]byte {
			return [][]byte{must(s.Seal(nil, Text, true, []byte("a"))), must(s.Seal(nil, Text, true, []byte("b"))), must(s.Seal(nil, Text, false, nil))}
		}, ""},
		{"filler and a ratchet between two parts", func(s *Session) [][]byte {
			return [][]byte{must(s.Seal(nil, Binary, true, []byte("a"))), must(s.Seal(nil, Filler, false, nil)), must(s.Ratchet(nil)), must(s.Seal(nil, Binary, false, []byte("b")))}
		}, ""},
		{"an end between two parts", func(s *Session) [][]byte {
			return [][]byte{must(s.Seal(nil, Binary, true, []byte("a"))), must(s.End(nil, 1000, ""))}
		}, ""},
		{"text continued as binary", func(s *Session) [][]byte {
			return [][]byte{must(s.Seal(nil, Text, true, []byte("a"))), sealRaw(s, []byte{byte(Binary), 0, 0})}
		}, FaultMalformed},
		{"data after the end", func(s *Session) [][]byte {
			return [][]byte{must(s.End(nil, 1000, "")), sealRaw(s, []byte{byte(Text), 0, 0})}
		}, FaultMalformed},
		{"a second end", func(s *Session) [][]byte {
			return [][]byte{must(s.End(nil, 1000, "")), sealRaw(s, []byte{byte(End), 0, 0})}
		}, FaultMalformed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for side := range 2 {
				h := shake(t, Classical, nil)
				from, to := h.ends()[side], h.ends()[1-side]
				var err error
				for _, r := range tt.parts(from) {
					if _, err = to.Open(r); err != nil {
						break
					}
				}
				wantFault(t, err, tt.want)
			}
		})
	}
}

func TestMisuseChangesNothing(t *testing.T) {
	h := shake(t, Hybrid, nil)
	for name, do := range map[string]func() ([]byte, error){
		"too much data":       func() ([]byte, error) { return h.client.Seal(nil, Text, false, make([]byte, MaxData+1)) },
		"an empty part":       func() ([]byte, error) { return h.client.Seal(nil, Text, true, nil) },
		"filler with data":    func() ([]byte, error) { return h.client.Seal(nil, Filler, false, []byte("a")) },
		"an offer by hand":    func() ([]byte, error) { return h.client.Seal(nil, Offer, false, nil) },
		"an end by hand":      func() ([]byte, error) { return h.client.Seal(nil, End, false, nil) },
		"an unknown kind":     func() ([]byte, error) { return h.client.Seal(nil, 9, false, nil) },
		"an offer of servers": func() ([]byte, error) { return h.server.Offer(nil) },
		"a reserved code":     func() ([]byte, error) { return h.client.End(nil, 1006, "") },
		"a long reason":       func() ([]byte, error) { return h.client.End(nil, 1000, strings.Repeat("a", MaxReason+1)) },
	} {
		t.Run(name, func(t *testing.T) {
			b, err := do()
			wantFault(t, err, FaultMisuse)
			if b != nil {
				t.Error("bytes in spite of the error")
			}
			pass(t, h.client, h.server, Text, "still there")
			pass(t, h.server, h.client, Text, "still there")
		})
	}
	must(h.client.Seal(nil, Text, true, []byte("a")))
	_, err := h.client.Seal(nil, Binary, false, nil)
	wantFault(t, err, FaultMisuse)
	must(h.client.End(nil, NoCode, ""))
	for name, do := range map[string]func([]byte) ([]byte, error){"offer": h.client.Offer, "ratchet": h.client.Ratchet,
		"end":  func(b []byte) ([]byte, error) { return h.client.End(b, 1000, "") },
		"seal": func(b []byte) ([]byte, error) { return h.client.Seal(b, Text, false, nil) }} {
		if _, err := do(nil); FaultOf(err) != FaultMisuse {
			t.Errorf("%s after the end: %v", name, err)
		}
	}
}

// TestTruncation_SR97: a connection that ends without a sealed end was cut.
func TestTruncation_SR97(t *testing.T) {
	for side := range 2 {
		h := shake(t, Classical, nil)
		from, to := h.ends()[side], h.ends()[1-side]
		pass(t, from, to, Text, "pay 100")
		must(from.Seal(nil, Text, false, []byte(", no: 10")))
		must(from.End(nil, 1000, "done"))
		wantFault(t, to.Closed(), FaultTruncated) // neither arrived
		h = shake(t, Classical, nil)
		from, to = h.ends()[side], h.ends()[1-side]
		r, err := to.Open(must(from.End(nil, 4000, "Idle timeout;guard.idle")))
		if err != nil || r.Kind != End || r.Code != 4000 || r.Reason != "Idle timeout;guard.idle" {
			t.Errorf("got %+v, %v", r, err)
		}
		if err := to.Closed(); err != nil {
			t.Errorf("after a sealed end: %v", err)
		}
		pass(t, to, from, Text, "the other direction goes on")
	}
}

func TestRatchet(t *testing.T) {
	h := shake(t, Classical, nil)
	for range 5 {
		for side := range 2 {
			from, to := h.ends()[side], h.ends()[1-side]
			old, iv := from.out.secret, from.out.iv
			if _, err := to.Open(must(from.Ratchet(nil))); err != nil {
				t.Fatal(err)
			}
			if old == from.out.secret || iv == from.out.iv || from.out.secret != to.in.secret || from.out.records != 0 {
				t.Error("the key did not change")
			}
			pass(t, from, to, Text, "on")
		}
	}
}

// TestEpochLimits_SR97: a key ends in time by itself, on both sides alike, and a
// sender that goes on is told.
func TestEpochLimits_SR97(t *testing.T) {
	t.Run("by number", func(t *testing.T) {
		h := shake(t, Classical, nil)
		h.client.out.limits.records, h.server.in.limits.records = 10, 10
		for range 95 {
			pass(t, h.client, h.server, Text, "x")
		}
		if h.client.out.epochs != 9 || h.server.in.epochs != 9 {
			t.Errorf("epochs %d and %d, want 9", h.client.out.epochs, h.server.in.epochs)
		}
	})
	t.Run("by bytes", func(t *testing.T) {
		h := shake(t, Classical, nil)
		h.client.out.limits.bytes, h.server.in.limits.bytes = 10*MaxRecord, 10*MaxRecord
		for range 25 {
			pass(t, h.client, h.server, Binary, strings.Repeat("x", MaxData))
		}
		if h.client.out.epochs != 2 || h.server.in.epochs != 2 {
			t.Errorf("epochs %d and %d, want 2", h.client.out.epochs, h.server.in.epochs)
		}
	})
	t.Run("a sender that goes on", func(t *testing.T) {
		h := shake(t, Classical, nil)
		h.server.in.limits.records = 5
		for range 3 { // the credential was the first
			pass(t, h.client, h.server, Text, "x")
		}
		_, err := h.server.Open(must(h.client.Seal(nil, Text, false, nil)))
		wantFault(t, err, FaultLimit)
	})
	t.Run("epochs run out", func(t *testing.T) {
		h := shake(t, Classical, nil)
		h.client.out.limits.epochs, h.server.in.limits.epochs = 3, 3
		for range 3 {
			must(h.server.Open(must(h.client.Ratchet(nil))))
		}
		_, err := h.client.Seal(nil, Text, false, nil)
		wantFault(t, err, FaultLimit)
		_, err = h.server.Open(make([]byte, minRecord))
		wantFault(t, err, FaultBroken)
	})
	t.Run("a new agreement begins the count again", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			h := shakeWith(t, Classical, nil, Options{})
			h.client.out.limits.epochs, h.server.in.limits.epochs = 3, 3
			for range 5 {
				must(h.server.Open(must(h.client.Ratchet(nil))))
				time.Sleep(MinAgreement)
				agree(t, h.client, h.server)
			}
		})
	})
}

func TestAgreement(t *testing.T) {
	for _, s := range suites {
		t.Run(s.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := shakeWith(t, s, nil, Options{})
				for range 4 {
					root, th := h.client.agreement.root, h.client.agreement.th
					time.Sleep(MinAgreement)
					agree(t, h.client, h.server)
					if a, b := &h.client.agreement, &h.server.agreement; a.root != b.root || a.th != b.th || a.root == root || a.th == th || a.next != (secret{}) || b.next != (secret{}) {
						t.Error("the roots differ, or did not change, or something is left")
					}
				}
			})
		})
	}
}

func TestAgreementRules(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, h *shaken) error
		want Fault
	}{
		{"sooner than a minute after the handshake", func(t *testing.T, h *shaken) error {
			_, err := h.server.Open(must(h.client.Offer(nil)))
			return err
		}, FaultLimit},
		{"sooner than a minute after the last", func(t *testing.T, h *shaken) error {
			time.Sleep(MinAgreement)
			agree(t, h.client, h.server)
			time.Sleep(MinAgreement - 1)
			_, err := h.server.Open(must(h.client.Offer(nil)))
			return err
		}, FaultLimit},
		{"a second offer before the answer", func(t *testing.T, h *shaken) error {
			time.Sleep(MinAgreement)
			must(h.server.Open(must(h.client.Offer(nil))))
			public := h.client.agreement.public
			time.Sleep(MinAgreement)
			_, err := h.server.Open(must(h.client.out.seal(nil, Offer, false, false, public, Buckets)))
			return err
		}, FaultMalformed},
		{"a second offer before the turn", func(t *testing.T, h *shaken) error {
			time.Sleep(MinAgreement)
			must(h.server.Open(must(h.client.Offer(nil))))
			public := h.client.agreement.public
			must(h.server.Reply(nil))
			time.Sleep(MinAgreement)
			_, err := h.server.Open(must(h.client.out.seal(nil, Offer, false, false, public, Buckets)))
			return err
		}, FaultMalformed},
		{"a client's second offer is its own mistake", func(t *testing.T, h *shaken) error {
			must(h.client.Offer(nil))
			_, err := h.client.Offer(nil)
			return err
		}, FaultMisuse},
		{"an answer with another encapsulation", func(t *testing.T, h *shaken) error {
			time.Sleep(MinAgreement)
			must(h.server.Open(must(h.client.Offer(nil))))
			other := newKeyFor(t, Classical).Entry().Public
			must(h.client.Open(must(h.server.out.seal(nil, Answer, false, false, other, Buckets))))
			_, err := h.client.Open(must(h.server.Seal(nil, Text, false, []byte("x"))))
			return err
		}, FaultBroken},
		{"an answer of another length", func(t *testing.T, h *shaken) error {
			time.Sleep(MinAgreement)
			must(h.server.Open(must(h.client.Offer(nil))))
			_, err := h.client.Open(must(h.server.out.seal(nil, Answer, false, false, make([]byte, 31), Buckets)))
			return err
		}, FaultMalformed},
		{"an answer of low order", func(t *testing.T, h *shaken) error {
			time.Sleep(MinAgreement)
			must(h.server.Open(must(h.client.Offer(nil))))
			_, err := h.client.Open(must(h.server.out.seal(nil, Answer, false, false, make([]byte, 32), Buckets)))
			return err
		}, FaultMalformed},
		{"an end while an agreement is under way", func(t *testing.T, h *shaken) error {
			time.Sleep(MinAgreement)
			must(h.server.Open(must(h.client.Offer(nil))))
			must(h.client.Open(must(h.server.End(nil, 1000, ""))))
			if b, err := h.server.Reply(nil); len(b) != 0 || err != nil {
				t.Errorf("a reply after the end: %d bytes, %v", len(b), err)
			}
			return h.client.Closed()
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := shakeWith(t, Classical, nil, Options{})
				wantFault(t, tt.do(t, h), tt.want)
			})
		})
	}
}

// TestAgreementInsideAMessage: a long message does not hold fresh keys up.
func TestAgreementInsideAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := shakeWith(t, Hybrid, nil, Options{})
		time.Sleep(MinAgreement)
		for _, part := range []string{"a", "b"} {
			must(h.server.Open(must(h.client.Seal(nil, Text, true, []byte(part)))))
			must(h.client.Open(must(h.server.Seal(nil, Binary, true, []byte(part)))))
		}
		must(h.server.Open(must(h.client.Offer(nil))))
		must(h.client.Open(must(h.server.Reply(nil))))
		must(h.server.Open(must(h.client.Reply(nil))))
		for side, k := range []Kind{Text, Binary} {
			r, err := h.ends()[1-side].Open(must(h.ends()[side].Seal(nil, k, false, []byte("c"))))
			if err != nil || r.Kind != k || r.More || string(r.Data) != "c" {
				t.Errorf("got %+v, %v", r, err)
			}
		}
	})
}

func TestReplyWhenNothingIsDue(t *testing.T) {
	h := shake(t, Classical, nil)
	for _, s := range h.ends() {
		if b, err := s.Reply([]byte("dst")); err != nil || string(b) != "dst" {
			t.Errorf("got %q, %v", b, err)
		}
	}
}

func TestSealAppends(t *testing.T) {
	h := shake(t, Classical, nil)
	out := must(h.client.Seal([]byte("head"), Text, false, []byte("x")))
	if !bytes.HasPrefix(out, []byte("head")) {
		t.Fatalf("got %q", out)
	}
	if r, err := h.server.Open(out[4:]); err != nil || string(r.Data) != "x" {
		t.Errorf("got %+v, %v", r, err)
	}
}

func TestPadding(t *testing.T) {
	last := 0
	for n := innerHead; n <= maxInner; n++ {
		p := Buckets.padded(n)
		if p < n || p > maxInner || p < last {
			t.Fatalf("%d is padded to %d after %d", n, p, last)
		}
		if over := float64(p-n) / float64(n); n > 1024 && over > 0.063 {
			t.Fatalf("%d is padded to %d: %.3f too much", n, p, over)
		}
		last = p
	}
	for n, want := range map[int]int{3: 32, 32: 32, 33: 64, 1024: 1024, 1025: 1088, 4096: 4096, 4097: 4352, 16384: 16384} {
		if got := Buckets.padded(n); got != want {
			t.Errorf("%d is padded to %d, want %d", n, got, want)
		}
	}
	h := shakeWith(t, Classical, nil, Options{Padding: Exact})
	if r := must(h.client.Seal(nil, Text, false, []byte("abc"))); len(r) != minRecord+3 {
		t.Errorf("a record of %d bytes, want %d", len(r), minRecord+3)
	}
}

// TestConcurrentSenders: records have the order of their calls, whoever calls.
func TestConcurrentSenders(t *testing.T) {
	h := shake(t, Classical, nil)
	h.client.out.limits.records, h.server.in.limits.records = 7, 7
	var wire sync.Mutex
	records := make(chan []byte, 800)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				wire.Lock()
				records <- must(h.client.Seal(nil, Text, false, []byte("x")))
				wire.Unlock()
			}
		})
	}
	for range 800 {
		if _, err := h.server.Open(<-records); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
}

func TestNoAllocation(t *testing.T) {
	h := shake(t, Classical, nil)
	buf, data := make([]byte, 0, MaxRecord), make([]byte, 1000)
	got := testing.AllocsPerRun(200, func() {
		r := must(h.client.Seal(buf, Binary, false, data))
		if _, err := h.server.Open(r); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations for a record sealed and opened, want 0", got)
	}
}

func BenchmarkRecord(b *testing.B) {
	for _, n := range []int{64, 1024, MaxData} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			h := shake(b, Classical, nil)
			buf, data := make([]byte, 0, MaxRecord), make([]byte, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				r := must(h.client.Seal(buf, Binary, false, data))
				must(h.server.Open(r))
			}
		})
	}
}

func BenchmarkHandshake(b *testing.B) {
	for _, s := range suites {
		b.Run(s.String(), func(b *testing.B) {
			key := newKeyFor(b, s)
			ring, device := ringOf(b, key), newIdentity(b)
			o := Options{Now: clockAt(epoch)}
			for b.Loop() {
				c, hello, _ := NewClient(key.Entry(), place, o)
				srv, answer, _ := Accept(ring, place, hello, o)
				_, auth, _ := c.Finish(answer, bearer, device)
				if _, _, err := srv.Authenticate(auth); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
