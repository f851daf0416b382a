package seal

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"testing"
	"time"
)

func writeDocuments(t *testing.T) []vectorDocument {
	id, backup := newIdentity(t), newIdentity(t)
	hybrid, classical := newKeyFor(t, Hybrid), newKeyFor(t, Classical)
	d := newDocument(t, hybrid, classical)
	raw := must(d.Sign(id))
	both := must(d.Sign(id, backup))
	only := d
	only.Keys = d.Keys[1:]
	onlyClassical := must(only.Sign(id))
	flip := func(b []byte, at int) []byte {
		b = slices.Clone(b)
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 1
		return b
	}
	old := d
	old.Generation = 6
	withdrawn := must(old.Sign(id))
	foreign := d
	foreign.Authority = "api.example.com:443"
	rows := []struct {
		name   string
		raw    []byte
		change func(*vectorDocument)
	}{
		{"signed by the pinned identity", raw, nil},
		{"signed by two identities, the second pinned", both, func(v *vectorDocument) { v.Pins = []string{pinOf(backup).String()} }},
		{"the classical suite, by name, where there is no other", onlyClassical, func(v *vectorDocument) { v.Suites = []uint16{1, 2} }},
		{"the hybrid suite first", raw, func(v *vectorDocument) { v.Suites = []uint16{1, 2} }},
		{"the classical suite, not by name", onlyClassical, nil},
		{"signed by another identity", raw, func(v *vectorDocument) { v.Pins = []string{pinOf(backup).String()} }},
		{"a signature with a bit flipped", flip(raw, -1), nil},
		{"an identity with a bit flipped", flip(raw, -70), nil},
		{"a generation with a bit flipped", flip(raw, 7), nil},
		{"a key with a bit flipped", flip(raw, 200), nil},
		{"another version", flip(raw, 3), nil},
		{"cut short by a byte", raw[:len(raw)-1], nil},
		{"a byte too long", append(slices.Clone(raw), 0), nil},
		{"nothing", nil, nil},
		{"another authority", must(foreign.Sign(id)), nil},
		{"an older generation than one seen", withdrawn, func(v *vectorDocument) { v.MinimumGeneration = 7 }},
		{"expired", raw, func(v *vectorDocument) { v.Now = unix(d.Expires) }},
		{"issued more than a day ahead", raw, func(v *vectorDocument) { v.Now = unix(d.Issued) - 86401 }},
		{"all keys over", must(func() ([]byte, error) {
			k := must(GenerateKey(Hybrid, epoch.Add(-40*24*time.Hour), epoch))
			return newDocument(t, k).Sign(id)
		}()), nil},
		{"a key listed twice", twice(t, d, id), nil},
	}
	var out []vectorDocument
	for _, r := range rows {
		v := vectorDocument{Name: r.name, Pins: []string{pinOf(id).String()}, Authority: place.Authority, Now: unix(epoch), Suites: []uint16{1}, Document: r.raw}
		if r.change != nil {
			r.change(&v)
		}
		got, picked, err := v.judge()
		v.Fault = string(FaultOf(err))
		if err == nil {
			v.Generation, v.Picked = got.Generation, picked
			for _, e := range got.Keys {
				id := e.ID()
				v.Keys = append(v.Keys, vectorKey{uint16(e.Suite), unix(e.NotBefore), unix(e.NotAfter), e.Public, id[:]})
			}
		}
		out = append(out, v)
	}
	return out
}

// twice is a signed document that lists a key twice, which [Document.Sign] would not make.
func twice(t *testing.T, d Document, id ed25519.PrivateKey) []byte {
	one := d
	one.Keys = d.Keys[1:]
	body := must(one.Body())
	at := len(documentMagic) + 4 + 8 + 8 + 2 + len(d.Authority)
	entry := slices.Clone(body[at+1:])
	body[at] = 2
	body = append(body, entry...)
	out := append(slices.Clone(body), 1)
	out = append(out, id.Public().(ed25519.PublicKey)...)
	return append(out, ed25519.Sign(id, labelled(labelKeys, body))...)
}

// judge is what a client does with a document.
func (v vectorDocument) judge() (Document, []byte, error) {
	p := Policy{Authority: v.Authority, Generation: v.MinimumGeneration, Now: time.Unix(v.Now, 0)}
	for _, s := range v.Pins {
		p.Pins = append(p.Pins, must(ParsePin(s)))
	}
	d, err := Verify(v.Document, p)
	if err != nil {
		return Document{}, nil, err
	}
	var named []Suite
	for _, s := range v.Suites {
		named = append(named, Suite(s))
	}
	e, err := d.Pick(p.Now, named...)
	if err != nil {
		return Document{}, nil, err
	}
	id := e.ID()
	return d, id[:], nil
}

// writeFailures mutates the messages of a session.
func writeFailures(t *testing.T, base, hybrid vectorSession) []vectorFailure {
	var out []vectorFailure
	flip := func(b []byte, at int) hexBytes {
		b = slices.Clone(b)
		if at < 0 {
			at += len(b)
		}
		b[at] ^= 1
		return b
	}
	add := func(name, receiver, at string, f Fault, messages ...hexBytes) *vectorFailure {
		out = append(out, vectorFailure{Name: name, Session: base.Name, Receiver: receiver, At: at, Messages: messages, Fault: string(f)})
		return &out[len(out)-1]
	}
	hello, answer, auth := base.ClientHello, base.ServerHello, base.Records[0].Record
	_, n, _ := suiteOf(Suite(base.Suite))

	// The first message, at the server.
	for _, r := range []struct {
		name string
		at   int
		want Fault
	}{
		{"another type", 0, FaultHandshake}, {"another suite", 2, FaultKeys}, {"another key", clientHead - 1, FaultKeys},
		{"another encapsulation", clientHead, FaultHandshake}, {"another sealed key", clientHead + n.enc, FaultHandshake}, {"another tag", -1, FaultHandshake},
	} {
		add("client hello: "+r.name, "server", "client_hello", r.want, flip(hello, r.at))
	}
	add("client hello: cut short", "server", "client_hello", FaultHandshake, hello[:len(hello)-1])
	add("client hello: a byte too long", "server", "client_hello", FaultHandshake, append(slices.Clone(hello), 0))
	add("client hello: nothing", "server", "client_hello", FaultHandshake, hexBytes{})
	low := slices.Clone(hello)
	copy(low[clientHead:], make([]byte, 32))
	add("client hello: a point of low order", "server", "client_hello", FaultHandshake, low)
	add("client hello: that of a session with another key", "server", "client_hello", FaultKeys, hybrid.ClientHello)
	for _, r := range []struct {
		name   string
		change func(*vectorContext)
	}{
		{"token", func(c *vectorContext) { c.Token = SealToken("chat.v1") }},
		{"authority", func(c *vectorContext) { c.Authority = "app.example.com:8443" }},
		{"target", func(c *vectorContext) { c.Target = "/chat?room=2" }},
		{"origin", func(c *vectorContext) { c.Origin = "" }},
	} {
		seen := base.Context
		r.change(&seen)
		add("client hello: another "+r.name, "server", "client_hello", FaultHandshake, hello).Context = &seen
	}

	// The answer, at the client.
	for _, r := range []struct {
		name string
		at   int
	}{{"another type", 0}, {"another encapsulation", 1}, {"another confirmation", -1}} {
		add("server hello: "+r.name, "client", "server_hello", FaultHandshake, flip(answer, r.at))
	}
	top := slices.Clone(answer)
	top[32] ^= 0x80
	add("server hello: the bit of the point that X25519 ignores", "client", "server_hello", FaultHandshake, top)
	add("server hello: cut short", "client", "server_hello", FaultHandshake, answer[:len(answer)-1])
	add("server hello: a byte too long", "client", "server_hello", FaultHandshake, append(slices.Clone(answer), 0))
	add("server hello: the client's own message", "client", "server_hello", FaultHandshake, hello)

	// The credential, at the server.
	for _, r := range []struct {
		name string
		at   int
	}{{"the type", 0}, {"the ciphertext", 1}, {"the tag", -1}} {
		add("auth: "+r.name+" with a bit flipped", "server", "auth", FaultHandshake, flip(auth, r.at))
	}
	sealAuth := func(inner []byte) hexBytes {
		s := vectorHalves(t, base, true)
		return sealRaw(s, inner)
	}
	body := func(b ...byte) []byte { return append([]byte{byte(Auth), 0, byte(len(b))}, b...) }
	add("auth: a record of the other direction", "server", "auth", FaultHandshake, base.Records[1].Record)
	add("auth: a text instead", "server", "auth", FaultMalformed, sealAuth([]byte{byte(Text), 0, 0}))
	add("auth: that goes on", "server", "auth", FaultMalformed, sealAuth([]byte{byte(Auth) | flagMore, 0, 4, 0, 0, 0, 0}))
	add("auth: an unknown kind of credential", "server", "auth", FaultMalformed, sealAuth(body(3, 0, 1, 'x', 0)))
	add("auth: a token without a value", "server", "auth", FaultMalformed, sealAuth(body(2, 0, 0, 0)))
	add("auth: an unknown proof", "server", "auth", FaultMalformed, sealAuth(body(0, 0, 0, 3)))
	add("auth: a byte too long", "server", "auth", FaultMalformed, sealAuth(body(0, 0, 0, 0, 0)))
	add("auth: a proof cut short", "server", "auth", FaultMalformed, sealAuth(body(0, 0, 0, 1)))
	proof := must(authData(base.Th1, Credential{}, newIdentity(t))) // of another session
	add("auth: a proof for another session", "server", "auth", FaultProof, sealAuth(body(proof...)))

	// Records, in both directions, first after the handshake.
	for _, to := range []string{"server", "client"} {
		fresh := func() *Session { return vectorHalves(t, base, to == "server", auth) }
		one := func(k Kind, text string) hexBytes { return must(fresh().Seal(nil, k, false, []byte(text))) }
		raw := func(inner ...byte) hexBytes { return sealRaw(fresh(), inner) }
		ok := one(Text, "x")
		rec := func(name string, f Fault, messages ...hexBytes) *vectorFailure {
			return add("record: "+name, to, "record", f, messages...)
		}
		rec("the type with a bit flipped", FaultBroken, flip(ok, 0))
		rec("the ciphertext with a bit flipped", FaultBroken, flip(ok, 1))
		rec("the tag with a bit flipped", FaultBroken, flip(ok, -1))
		rec("cut short", FaultBroken, ok[:len(ok)-1])
		rec("a byte too long", FaultBroken, append(slices.Clone(ok), 0))
		rec("nothing", FaultBroken, hexBytes{})
		rec("longer than a record may be", FaultBroken, append(hexBytes{typeRecord}, bytes.Repeat([]byte{0}, MaxRecord)...))
		rec("twice", FaultBroken, ok, ok)
		s := fresh()
		must(s.Seal(nil, Text, false, []byte("x")))
		second := hexBytes(must(s.Seal(nil, Text, false, []byte("y"))))
		rec("the second without the first", FaultBroken, second)
		s = fresh()
		turned := hexBytes(must(s.Ratchet(nil)))
		rec("of an epoch that is over", FaultBroken, turned, ok)
		rec("reflected", FaultBroken, must(vectorHalves(t, base, to != "server", auth).Seal(nil, Text, false, []byte("x"))))
		rec("of another session", FaultBroken, must(vectorHalves(t, hybrid, to == "server", hybrid.Records[0].Record).Seal(nil, Text, false, []byte("x"))))
		rec("padding that is not zero", FaultMalformed, raw(byte(Text), 0, 0, 1))
		rec("more data than there is", FaultMalformed, raw(byte(Text), 0, 1))
		rec("an unknown kind", FaultMalformed, raw(8, 0, 0))
		rec("an unknown flag", FaultMalformed, raw(byte(Text)|0x10, 0, 0))
		rec("an empty part of a message", FaultMalformed, raw(byte(Text)|flagMore, 0, 0))
		rec("filler with data", FaultMalformed, raw(byte(Filler), 0, 1, 'a'))
		rec("a second credential", FaultMalformed, raw(body(0, 0, 0, 0)...))
		rec("a turn that nobody waits for", FaultMalformed, raw(byte(Turn), 0, 0))
		rec("an answer that nobody waits for", FaultMalformed, raw(append([]byte{byte(Answer), 0, 32}, make([]byte, 32)...)...))
		rec("an end with a code that must not be sent", FaultMalformed, raw(byte(End), 0, 2, 3, 0xee))
		s = fresh()
		part := hexBytes(must(s.Seal(nil, Text, true, []byte("x"))))
		rec("a text continued as binary", FaultMalformed, part, sealRaw(s, []byte{byte(Binary), 0, 0}))
		s = fresh()
		end := hexBytes(must(s.End(nil, 1000, "")))
		rec("data after the end", FaultMalformed, end, sealRaw(s, []byte{byte(Text), 0, 0}))
		rec("no end", FaultTruncated, ok).Closed = true
		rec("a sealed end", "", end).Closed = true
	}
	return out
}
