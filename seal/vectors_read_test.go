package seal

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"testing"
	"time"
)

// TestVectorsOfDocuments judges every document as a client does.
func TestVectorsOfDocuments(t *testing.T) {
	for _, v := range readVectors[vectorDocument](t, "documents.json").Vectors {
		t.Run(v.Name, func(t *testing.T) {
			d, picked, err := v.judge()
			wantFault(t, err, Fault(v.Fault))
			if err != nil {
				return
			}
			if d.Generation != v.Generation || !bytes.Equal(picked, v.Picked) || len(d.Keys) != len(v.Keys) {
				t.Errorf("got generation %d, key %x, want %d, %x", d.Generation, picked, v.Generation, v.Picked)
			}
			for i, e := range d.Keys {
				id, w := e.ID(), v.Keys[i]
				if uint16(e.Suite) != w.Suite || unix(e.NotBefore) != w.NotBefore || unix(e.NotAfter) != w.NotAfter || !bytes.Equal(e.Public, w.Public) || !bytes.Equal(id[:], w.KeyID) {
					t.Errorf("key %d: got %+v", i, e)
				}
			}
		})
	}
}

func field(parts ...string) []byte {
	var b []byte
	for _, p := range parts {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(p))), p...)
	}
	return b
}

func hash(parts ...[]byte) []byte {
	sum := sha256.Sum256(slices.Concat(parts...))
	return sum[:]
}

// TestVectorsBySpec derives everything from the private keys by the text of
// spec/seal.md, with nothing of this package: it is what a third implementation
// would do to check itself.
func TestVectorsBySpec(t *testing.T) {
	for _, v := range readVectors[vectorSession](t, "sessions.json").Vectors {
		t.Run(v.Name, func(t *testing.T) {
			want := func(name string, got, want []byte) {
				t.Helper()
				if !bytes.Equal(got, want) {
					t.Errorf("%s: got %x, want %x", name, got, want)
				}
			}
			kem, encSize := must(hpke.NewKEM(0x647a)), 1120
			if v.Suite == 2 {
				kem, encSize = must(hpke.NewKEM(0x0020)), 32
			}
			kdf, aead := must(hpke.NewKDF(0x0001)), must(hpke.NewAEAD(0x0002))
			static, ephemeral := must(kem.NewPrivateKey(v.ServerPrivate)), must(kem.NewPrivateKey(v.ClientPrivate))
			suite := binary.BigEndian.AppendUint16(nil, v.Suite)
			want("server public", static.PublicKey().Bytes(), v.ServerPublic)
			want("client public", ephemeral.PublicKey().Bytes(), v.ClientPublic)
			want("key id", hash(field("sp-seal/1 key id"), suite, field(string(v.ServerPublic)))[:8], v.KeyID)
			p := hash(field("sp-seal/1 prologue"), suite, field(string(v.ServerPublic), v.Context.Token, v.Context.Authority, v.Context.Target, v.Context.Origin))
			want("prologue", p, v.Prologue)

			head, rest := v.ClientHello[:11], v.ClientHello[11:]
			want("head", head, slices.Concat([]byte{1}, suite, v.KeyID))
			ctx1 := must(hpke.NewRecipient(rest[:encSize], static, kdf, aead, append(field("sp-seal/1 client"), p...)))
			want("sealed key", must(ctx1.Open(head, rest[encSize:])), v.ClientPublic)
			s1 := must(ctx1.Export("sp-seal/1 s1", 32))
			want("s1", s1, v.S1)
			th1 := hash(field("sp-seal/1 th1"), p, v.ClientHello)
			want("th1", th1, v.Th1)

			enc2, confirm := v.ServerHello[1:1+encSize], v.ServerHello[1+encSize:]
			s2 := must(must(hpke.NewRecipient(enc2, ephemeral, kdf, aead, append(field("sp-seal/1 server"), th1...))).Export("sp-seal/1 s2", 32))
			want("s2", s2, v.S2)
			th2 := hash(field("sp-seal/1 th2"), th1, enc2)
			want("th2", th2, v.Th2)
			prk := must(hkdf.Extract(sha256.New, slices.Concat(s1, s2), th2))
			want("prk", prk, v.PRK)
			expand := func(prk []byte, label string, th []byte) []byte {
				return must(hkdf.Expand(sha256.New, prk, string(append(field("sp-seal/1 "+label), th...)), 32))
			}
			want("root", expand(prk, "root", th2), v.Root)
			want("c2s", expand(prk, "c2s", th2), v.C2S)
			want("s2c", expand(prk, "s2c", th2), v.S2C)
			want("confirm key", expand(prk, "confirm", th2), v.ConfirmKey)
			m := hmac.New(sha256.New, v.ConfirmKey)
			m.Write(th2)
			want("confirmation", confirm, m.Sum(nil))

			// Records, by the state of each direction.
			type direction struct {
				secret []byte
				number uint32
			}
			state := map[string]*direction{"client": {secret: v.C2S}, "server": {secret: v.S2C}}
			th, root := th2, []byte(v.Root)
			agreed := 0
			for i, r := range v.Records {
				d := state[r.From]
				want("epoch secret", d.secret, r.Secret)
				key, iv := expand(d.secret, "key", nil), expand(d.secret, "iv", nil)[:12]
				want("key", key, r.Key)
				want("iv", iv, r.IV)
				if d.number != r.Number {
					t.Errorf("record %d: number %d, want %d", i, d.number, r.Number)
				}
				nonce := slices.Clone(iv)
				binary.BigEndian.PutUint32(nonce[8:], binary.BigEndian.Uint32(nonce[8:])^d.number)
				inner, err := must(newAEAD(key)).Open(nil, nonce, r.Record[1:], r.Record[:1])
				if err != nil {
					t.Fatalf("record %d: %v", i, err)
				}
				head := byte(slices.Index(kindNames, r.Kind))
				if r.More {
					head |= 0x40
				}
				if r.Last {
					head |= 0x80
				}
				plain := slices.Concat([]byte{head}, field(string(r.Data)))
				want("inner", inner, append(plain, make([]byte, len(inner)-len(plain))...))
				d.number++
				if r.Last {
					d.secret, d.number = expand(d.secret, "next", nil), 0
				}
				switch r.Kind {
				case "answer":
					a := v.Agreements[agreed]
					agreed++
					sk := must(kem.NewPrivateKey(a.ClientPrivate))
					info := hash(field("sp-seal/1 rekey"), th, field(string(a.ClientPublic)))
					want("s3", must(must(hpke.NewRecipient(r.Data, sk, kdf, aead, info)).Export("sp-seal/1 s3", 32)), a.S3)
					th = hash(field("sp-seal/1 th3"), th, field(string(a.ClientPublic)), r.Data)
					want("th3", th, a.Th3)
					prk := must(hkdf.Extract(sha256.New, slices.Concat(root, a.S3), th))
					want("prk of an agreement", prk, a.PRK)
					root = expand(prk, "root", th)
					want("root of an agreement", root, a.Root)
					want("c2s of an agreement", expand(prk, "c2s", th), a.C2S)
					want("s2c of an agreement", expand(prk, "s2c", th), a.S2C)
					state["server"] = &direction{secret: a.S2C}
				case "turn":
					state["client"] = &direction{secret: v.Agreements[agreed-1].C2S}
				}
			}
		})
	}
}

// vectorHalves makes a session from the secrets of a vector. With the credential
// given, it stands behind that record.
func vectorHalves(t *testing.T, v vectorSession, client bool, auth ...hexBytes) *Session {
	t.Helper()
	k := schedule{root: secret(v.Root), c2s: secret(v.C2S), s2c: secret(v.S2C)}
	s := must(newSession(client, Suite(v.Suite), &k, v.Th2, Buckets, clockAt(epoch)))
	if len(auth) > 0 {
		if client {
			s.out.count(len(auth[0]))
		} else if _, _, _, err := s.in.open(slices.Clone(auth[0])); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (v vectorSession) key(t *testing.T) *Key {
	return must(ParseKey(Suite(v.Suite), v.ServerPrivate, epoch.Add(-time.Hour), epoch.Add(time.Hour)))
}

// halfway is the client between its first message and the answer.
func (v vectorSession) halfway() *Client {
	kem, _, _ := suiteOf(Suite(v.Suite))
	return &Client{suite: Suite(v.Suite), options: Options{Now: clockAt(epoch)}, private: must(kem.NewPrivateKey(v.ClientPrivate)), th1: v.Th1, s1: secret(v.S1)}
}

func (v vectorSession) device() crypto.Signer {
	switch v.Credential.Proof {
	case "Ed25519":
		return ed25519.NewKeyFromSeed(v.Credential.Private)
	case "ES256":
		return must(ecdsa.ParseRawPrivateKey(elliptic.P256(), v.Credential.Private))
	}
	return nil
}

// TestVectorsOfSessions opens what each side sent with the code of the other.
func TestVectorsOfSessions(t *testing.T) {
	for _, v := range readVectors[vectorSession](t, "sessions.json").Vectors {
		t.Run(v.Name, func(t *testing.T) {
			now := Options{Now: clockAt(epoch)}
			if _, _, err := Accept(ringOf(t, v.key(t)), v.Context.context(), v.ClientHello, now); err != nil {
				t.Fatal(err)
			}
			cred := Credential{Kind: CredentialKind(slices.Index(credentialNames, v.Credential.Kind)), Value: v.Credential.Value}
			client, auth, err := v.halfway().Finish(slices.Clone(v.ServerHello), cred, v.device())
			if err != nil {
				t.Fatal(err)
			}
			if v.Credential.Proof != "ES256" && !bytes.Equal(auth, v.Records[0].Record) { // ECDSA draws a nonce
				t.Error("the client's credential record is another")
			}
			server := vectorHalves(t, v, false)
			got, err := server.authenticate(v.Th2, slices.Clone(v.Records[0].Record))
			cred.Thumbprint = v.Credential.Thumbprint
			if err != nil || got != cred {
				t.Fatalf("got %+v, %v, want %+v", got, err, cred)
			}
			agreed := -1
			for i, r := range v.Records[1:] {
				to := server
				if r.From == "server" {
					to = client
				}
				switch r.Kind {
				case "offer": // as if the client had made the offer itself
					agreed++
					a := v.Agreements[agreed]
					kem, _, _ := suiteOf(Suite(v.Suite))
					client.agreement.private, client.agreement.public = must(kem.NewPrivateKey(a.ClientPrivate)), a.ClientPublic
					server.now = clockAt(server.agreement.at.Add(time.Hour))
				case "answer": // as if the server had drawn the same encapsulation
					a := v.Agreements[agreed]
					k := server.agreement.renew(a.Enc, slices.Clone(a.S3), server.now())
					server.agreement.next, server.agreement.turn = k.c2s, true
				}
				got, err := to.Open(slices.Clone(r.Record))
				if err != nil {
					t.Fatalf("record %d (%s %s): %v", i+1, r.From, r.Kind, err)
				}
				if kindNames[got.Kind] != r.Kind || got.More != r.More || (got.Kind == Text || got.Kind == Binary) && !bytes.Equal(got.Data, r.Data) {
					t.Errorf("record %d: got %+v, want %+v", i+1, got, r)
				}
				if got.Kind == End {
					if b := must(endData(got.Code, got.Reason)); !bytes.Equal(b, r.Data) {
						t.Errorf("record %d: got end %d %q", i+1, got.Code, got.Reason)
					}
				}
			}
			if err := client.Closed(); err != nil {
				t.Error(err)
			}
			if err := server.Closed(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestVectorsOfFailures: each ends in its fault, at its last message, with nothing
// delivered there.
func TestVectorsOfFailures(t *testing.T) {
	sessions := map[string]vectorSession{}
	for _, v := range readVectors[vectorSession](t, "sessions.json").Vectors {
		sessions[v.Name] = v
	}
	for _, v := range readVectors[vectorFailure](t, "failures.json").Vectors {
		t.Run(v.Receiver+" "+v.Name, func(t *testing.T) {
			base, ok := sessions[v.Session]
			if !ok {
				t.Fatalf("no session %q", v.Session)
			}
			wantFault(t, v.play(t, base), Fault(v.Fault))
		})
	}
}

func (v vectorFailure) play(t *testing.T, base vectorSession) error {
	t.Helper()
	first := slices.Clone(v.Messages[0])
	switch v.At {
	case "client_hello":
		ctx := base.Context
		if v.Context != nil {
			ctx = *v.Context
		}
		_, _, err := Accept(ringOf(t, base.key(t)), ctx.context(), first, Options{Now: clockAt(epoch)})
		return err
	case "server_hello":
		_, _, err := base.halfway().Finish(first, Credential{}, nil)
		return err
	case "auth":
		_, _, err := (&Server{th2: base.Th2, session: vectorHalves(t, base, false)}).Authenticate(first)
		return err
	}
	s := vectorHalves(t, base, v.Receiver == "client", base.Records[0].Record)
	for i, m := range v.Messages {
		r, err := s.Open(slices.Clone(m))
		if err != nil {
			if i < len(v.Messages)-1 {
				t.Errorf("message %d of %d already fails", i, len(v.Messages))
			}
			if r.Data != nil {
				t.Error("data in spite of the fault")
			}
			return err
		}
	}
	if v.Closed {
		return s.Closed()
	}
	return nil
}
