package seal

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"flag"
	"os"
	"runtime"
	"slices"
	"testing"
	"testing/cryptotest"
	"time"
)

var update = flag.Bool("update", false, "write spec/vectors/seal")

// TestVectorsAreReproduced makes all vectors again from a fixed source of
// randomness and compares. The order in which Go draws from it is not part of any
// promise, so this runs under the version of Go that wrote the files only;
// everybody else opens them, which is what TestVectors… do.
func TestVectorsAreReproduced(t *testing.T) {
	if !*update {
		if v := readVectors[vectorSession](t, "sessions.json").Go; v != runtime.Version() {
			t.Skipf("the vectors were written by %s, this is %s", v, runtime.Version())
		}
	}
	cryptotest.SetGlobalRandom(t, 1)
	sessions := []vectorSession{
		writeSession(t, "hybrid, token, Ed25519", Hybrid, place, Credential{Kind: Token, Value: bearer.Value}, newIdentity(t)),
		writeSession(t, "hybrid, ticket, ES256, no origin", Hybrid, Context{Token: tokenBase, Authority: "[::1]:8443", Target: "/"}, Credential{Kind: Ticket, Value: "sallyport.ticket.Zm9v"}, newES256(t)),
		writeSession(t, "classical, no credential", Classical, place, Credential{}, nil),
	}
	reproduce(t, "sessions.json", "whole sessions: every private key, every message, every derived secret", sessions)
	reproduce(t, "documents.json", "key documents, and what a client makes of them", writeDocuments(t))
	reproduce(t, "failures.json", "what must be refused, by whom and with which fault", writeFailures(t, sessions[2], sessions[0]))
}

func reproduce[T any](t *testing.T, name, about string, vectors []T) {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(vectorFile[T]{About: about, Go: runtime.Version(), Vectors: vectors}); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(vectorPath(name), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	old, err := os.ReadFile(vectorPath(name))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(old, b.Bytes()) {
		t.Errorf("%s is not what this code writes: if that is meant, run go test -run Vectors -update, and tell other implementations", name)
	}
}

// recorder follows a session from outside while it is used.
type recorder struct {
	t *testing.T
	v *vectorSession
	h *shaken
}

func (r *recorder) note(from string, s *Session, k Kind, more, last bool, data []byte, seal func() []byte) []byte {
	h := &s.out
	key := h.secret.expand(labelKey, nil)
	v := vectorRecord{From: from, Kind: kindNames[k], More: more, Last: last, Data: slices.Clone(data),
		Secret: slices.Clone(h.secret[:]), Key: slices.Clone(key[:]), IV: slices.Clone(h.iv[:]), Number: h.records}
	v.Record = seal()
	r.v.Records = append(r.v.Records, v)
	return slices.Clone(v.Record)
}

// send seals on one side and opens on the other.
func (r *recorder) send(from string, k Kind, more bool, data []byte) {
	s, to := r.h.client, r.h.server
	if from == "server" {
		s, to = to, s
	}
	last := s.out.records+1 >= s.out.limits.records
	record := r.note(from, s, k, more, last, data, func() []byte {
		switch k {
		case End:
			code, reason, _ := parseEnd(data)
			return must(s.End(nil, code, reason))
		}
		return must(s.Seal(nil, k, more, data))
	})
	must(to.Open(record))
}

func (r *recorder) ratchet(from string) {
	s, to := r.h.client, r.h.server
	if from == "server" {
		s, to = to, s
	}
	must(to.Open(r.note(from, s, Filler, false, true, nil, func() []byte { return must(s.Ratchet(nil)) })))
}

// agree makes a new agreement with records of both sides in between.
func (r *recorder) agree() {
	c, s := r.h.client, r.h.server
	c.now, s.now = clockAt(c.agreement.at.Add(time.Hour)), clockAt(s.agreement.at.Add(time.Hour))
	var va vectorAgreement

	// The key is drawn inside of Offer; its record is noted once it is known.
	var offer []byte
	secret0, iv0, number := c.out.secret, c.out.iv, c.out.records
	key0 := secret0.expand(labelKey, nil)
	offer = must(c.Offer(nil))
	va.ClientPrivate, va.ClientPublic = slices.Clone(must(c.agreement.private.Bytes())), slices.Clone(c.agreement.public)
	r.v.Records = append(r.v.Records, vectorRecord{From: "client", Kind: "offer", Data: va.ClientPublic,
		Secret: slices.Clone(secret0[:]), Key: slices.Clone(key0[:]), IV: slices.Clone(iv0[:]), Number: number, Record: slices.Clone(offer)})
	must(s.Open(slices.Clone(offer)))
	r.send("client", Text, false, []byte("under the old keys, after the offer"))

	root, th, private, info := c.agreement.root, c.agreement.th, c.agreement.private, c.agreement.rekeyInfo()
	secret1, iv1, number1 := s.out.secret, s.out.iv, s.out.records
	key1 := secret1.expand(labelKey, nil)
	answer := must(s.Reply(nil))
	probe := half{limits: defaultLimits, secret: secret1}
	if err := probe.enter(); err != nil {
		r.t.Fatal(err)
	}
	probe.records = number1
	_, _, enc, err := probe.open(slices.Clone(answer))
	if err != nil {
		r.t.Fatal(err)
	}
	va.Enc = slices.Clone(enc)
	va.S3 = must(must(hpkeRecipient(enc, private, info)).Export(labelS3, 32))
	va.Th3 = sha(labelTh3, th[:], appendLP(nil, []byte(va.ClientPublic)), enc)
	prk := extract(va.Th3, root[:], va.S3)
	va.vectorSecrets = secretsOf(prk, va.Th3)
	r.v.Agreements = append(r.v.Agreements, va)
	r.v.Records = append(r.v.Records, vectorRecord{From: "server", Kind: "answer", Data: va.Enc,
		Secret: slices.Clone(secret1[:]), Key: slices.Clone(key1[:]), IV: slices.Clone(iv1[:]), Number: number1, Record: slices.Clone(answer)})
	must(c.Open(slices.Clone(answer)))
	r.send("server", Text, false, []byte("under the new keys of the server"))
	r.send("client", Text, false, []byte("still under the old keys of the client"))
	must(s.Open(r.note("client", c, Turn, false, false, nil, func() []byte { return must(c.Reply(nil)) })))
	r.send("client", Text, false, []byte("under the new keys of the client"))
}

func secretsOf(prk secret, th []byte) vectorSecrets {
	v := vectorSecrets{PRK: slices.Clone(prk[:])}
	k := derive(&prk, th)
	v.Root, v.C2S, v.S2C = slices.Clone(k.root[:]), slices.Clone(k.c2s[:]), slices.Clone(k.s2c[:])
	return v
}

func writeSession(t *testing.T, name string, suite Suite, ctx Context, cred Credential, device crypto.Signer) vectorSession {
	t.Helper()
	o := Options{Now: clockAt(epoch)}
	key := newKeyFor(t, suite)
	id := key.ID()
	v := vectorSession{Name: name, Suite: uint16(suite), Context: vectorContext(ctx), ServerPrivate: must(key.Private()), ServerPublic: key.public, KeyID: id[:]}
	c, hello, err := NewClient(key.Entry(), ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	v.ClientPrivate, v.ClientPublic = slices.Clone(must(c.private.Bytes())), c.private.PublicKey().Bytes()
	p := ctx.prologue(suite, key.public)
	v.Prologue, v.ClientHello = p[:], slices.Clone(hello)
	v.S1, v.Th1 = slices.Clone(c.s1[:]), slices.Clone(c.th1)
	srv, answer, err := Accept(ringOf(t, key), ctx, hello, o)
	if err != nil {
		t.Fatal(err)
	}
	_, n, _ := suiteOf(suite)
	enc2 := answer[1 : 1+n.enc]
	v.ServerHello = slices.Clone(answer)
	v.S2 = must(must(hpkeRecipient(enc2, c.private, labelled(labelServer, c.th1))).Export(labelS2, 32))
	v.Th2 = sha(labelTh2, c.th1, enc2)
	prk := extract(v.Th2, v.S1, v.S2)
	confirm := prk.expand(labelConfirm, v.Th2)
	v.ConfirmKey = confirm[:]
	v.vectorSecrets = secretsOf(prk, v.Th2)

	h := &shaken{key: key}
	if h.client, h.auth, err = c.Finish(answer, cred, device); err != nil {
		t.Fatal(err)
	}
	authKey := half{limits: defaultLimits}
	authKey.secret = secret(v.C2S)
	if err := authKey.enter(); err != nil {
		t.Fatal(err)
	}
	k := authKey.secret.expand(labelKey, nil)
	first := vectorRecord{From: "client", Kind: "auth", Secret: slices.Clone(v.C2S), Key: k[:], IV: slices.Clone(authKey.iv[:]), Record: slices.Clone(h.auth)}
	_, _, data, err := authKey.open(slices.Clone(h.auth))
	if err != nil {
		t.Fatal(err)
	}
	first.Data = data
	if h.server, h.credential, err = srv.Authenticate(slices.Clone(h.auth)); err != nil {
		t.Fatal(err)
	}
	v.Credential = vectorCredential{Kind: credentialNames[cred.Kind], Value: cred.Value, Proof: "none", Thumbprint: h.credential.Thumbprint}
	switch d := device.(type) {
	case ed25519.PrivateKey:
		v.Credential.Proof, v.Credential.Private, v.Credential.Public = "Ed25519", slices.Clone(d.Seed()), slices.Clone([]byte(d.Public().(ed25519.PublicKey)))
	case *ecdsa.PrivateKey:
		v.Credential.Proof, v.Credential.Private, v.Credential.Public = "ES256", must(d.Bytes()), must(d.PublicKey.Bytes())
	}
	v.Records = []vectorRecord{first}

	r := &recorder{t: t, v: &v, h: h}
	r.send("server", Text, false, []byte("\x01{\"t\":\"hello\"}"))
	r.send("client", Text, false, []byte("\x00a text"))
	r.send("client", Binary, false, nil)
	r.send("client", Filler, false, nil)
	r.send("client", Text, true, []byte("\x00a text of "))
	r.ratchet("client")
	r.send("client", Text, true, []byte("three "))
	r.send("client", Text, false, []byte("parts"))
	r.send("server", Binary, true, bytes.Repeat([]byte{0x5a}, 1500))
	r.send("server", Binary, false, []byte("the rest"))
	r.ratchet("server")
	r.ratchet("server")
	r.agree()
	r.ratchet("client")
	r.agree()
	r.send("server", End, false, append(binary.BigEndian.AppendUint16(nil, 4000), "Idle timeout;guard.idle"...))
	r.send("client", End, false, nil)
	return v
}
