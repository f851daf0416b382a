package jwt

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/deny"
)

func TestClaims_SR33_AT67(t *testing.T) {
	v := verifier(t)
	for _, tt := range []struct {
		name   string
		change fields
		want   deny.Reason
	}{
		{"all good", fields{}, 0},
		{"another issuer", fields{"iss": "https://evil.example"}, deny.AuthInvalid},
		{"the issuer with a slash", fields{"iss": issuer + "/"}, deny.AuthInvalid},
		{"the issuer in capitals", fields{"iss": strings.ToUpper(issuer)}, deny.AuthInvalid},
		{"the issuer in a list", fields{"iss": []string{issuer}}, deny.AuthInvalid},
		{"no issuer", fields{"iss": nil}, deny.AuthInvalid},
		{"another audience", fields{"aud": "mail"}, deny.AuthInvalid},
		{"a longer audience", fields{"aud": "chat2"}, deny.AuthInvalid},
		{"the audience among others", fields{"aud": []string{"mail", "chat"}}, 0},
		{"only other audiences", fields{"aud": []string{"mail", "chat2"}}, deny.AuthInvalid},
		{"an empty audience", fields{"aud": ""}, deny.AuthInvalid},
		{"an empty list of audiences", fields{"aud": []string{}}, deny.AuthInvalid},
		{"no audience", fields{"aud": nil}, deny.AuthInvalid},
		{"an audience beside a number", fields{"aud": []any{"chat", 1}}, deny.AuthInvalid},
		{"an audience beside null", fields{"aud": []any{"chat", json.RawMessage("null")}}, deny.AuthInvalid},
		{"the audience nested", fields{"aud": []any{[]string{"chat"}}}, deny.AuthInvalid},
		{"the audience as a name", fields{"aud": fields{"chat": true}}, deny.AuthInvalid},
		{"audiences in one string", fields{"aud": "chat mail"}, deny.AuthInvalid},
		{"no subject", fields{"sub": nil}, deny.AuthInvalid},
		{"an empty subject", fields{"sub": ""}, deny.AuthInvalid},
		{"a subject that is a number", fields{"sub": 1}, deny.AuthInvalid},
		{"a subject with a line break", fields{"sub": "alice\r\nX-User: root"}, deny.AuthInvalid},
		{"a subject too long", fields{"sub": strings.Repeat("a", 513)}, deny.AuthInvalid},
		{"a session that is a number", fields{"sid": 1}, deny.AuthInvalid},
		{"an empty session", fields{"sid": ""}, deny.AuthInvalid},
		{"a jti that is a number", fields{"jti": 7}, deny.AuthInvalid},
		{"an empty jti", fields{"jti": ""}, deny.AuthInvalid},
		{"a scope that is a number", fields{"scope": 1}, deny.AuthInvalid},
		{"a scope with a line break", fields{"scope": "a\nb"}, deny.AuthInvalid},
		{"a listed scope with a space", fields{"scp": []string{"a b"}}, deny.AuthInvalid},
	} {
		t.Run("SR-33 AT-67 "+tt.name, func(t *testing.T) {
			want(t, v, es256(t, header("ES256", "ES256"), claims(tt.change)), tt.want)
		})
	}
}

func TestTimes_SR33_AT68(t *testing.T) {
	const now = int64(946684800) // when every bubble begins
	const week = 7 * 24 * 3600
	for _, tt := range []struct {
		name   string
		change fields
		want   deny.Reason
	}{
		{"ends this second", fields{"exp": now}, deny.AuthExpired},
		{"ended a second ago: no leeway", fields{"exp": now - 1}, deny.AuthExpired},
		{"ends in a second", fields{"exp": now + 1}, 0},
		{"ends in half a second", fields{"exp": json.Number(fmt.Sprintf("%d.5", now))}, 0},
		{"ended in 1970", fields{"exp": 0}, deny.AuthExpired},
		{"ends in 7 days", fields{"exp": now + week}, 0},
		{"ends in 7 days and a second", fields{"exp": now + week + 1}, deny.AuthInvalid},
		{"ends in 100 years", fields{"exp": now + 3155760000}, deny.AuthInvalid},
		{"no end", fields{"exp": nil}, deny.AuthInvalid},
		{"end as a string", fields{"exp": "4102444800"}, deny.AuthInvalid},
		{"end null", fields{"exp": json.RawMessage("null")}, deny.AuthInvalid},
		{"end true", fields{"exp": true}, deny.AuthInvalid},
		{"end in a list", fields{"exp": []int64{now + 9}}, deny.AuthInvalid},
		{"end negative", fields{"exp": -1}, deny.AuthInvalid},
		{"end beyond 9999", fields{"exp": int64(253402300800)}, deny.AuthInvalid},
		{"end overflows 64 bits", fields{"exp": json.Number("18446744073709551616")}, deny.AuthInvalid},
		{"end overflows a float", fields{"exp": json.Number("1e400")}, deny.AuthInvalid},
		{"end of many digits", fields{"exp": json.Number("1" + strings.Repeat("0", 40))}, deny.AuthInvalid},
		{"end as an exponent", fields{"exp": json.Number("9.466848e8")}, deny.AuthExpired},
		{"not before in 30 seconds", fields{"nbf": now + 30}, 0},
		{"not before in 31 seconds", fields{"nbf": now + 31}, deny.AuthInvalid},
		{"not before as a string", fields{"nbf": "0"}, deny.AuthInvalid},
		{"issued in 30 seconds", fields{"iat": now + 30}, 0},
		{"issued in 31 seconds", fields{"iat": now + 31}, deny.AuthInvalid},
		{"issued as a string", fields{"iat": "0"}, deny.AuthInvalid},
		{"issued negative", fields{"iat": -5}, deny.AuthInvalid},
		{"issued at no known time", fields{"iat": nil}, 0},
	} {
		t.Run("SR-33 AT-68 "+tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				want(t, verifier(t), es256(t, header("ES256", "ES256"), claims(tt.change)), tt.want)
			})
		})
	}
}

func TestExpiryIsTheIdentitysEnd_SR42(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := verifier(t)
		good := es256(t, header("ES256", "ES256"), claims())
		id := want(t, v, good, 0)
		if left := time.Until(id.Expires); left != 300*time.Second {
			t.Errorf("ends in %v, want 300s", left)
		}
		time.Sleep(300*time.Second - 1)
		want(t, v, good, 0)
		time.Sleep(time.Nanosecond)
		want(t, v, good, deny.AuthExpired)
	})
}

func TestExpiredIsOnlySaidOfGoodTokens_SR31(t *testing.T) {
	v := verifier(t)
	past := claims(fields{"exp": time.Now().Unix() - 60})
	want(t, v, es256(t, header("ES256", "ES256"), past), deny.AuthExpired)
	for name, bad := range map[string]string{
		"signature": token(t, "other", "ES256", toJSON(t, header("ES256", "ES256")), toJSON(t, past)),
		"audience":  es256(t, header("ES256", "ES256"), with(claims(past), fields{"aud": "mail"})),
		"issuer":    es256(t, header("ES256", "ES256"), with(claims(past), fields{"iss": "x"})),
		"subject":   es256(t, header("ES256", "ES256"), with(claims(past), fields{"sub": nil})),
		"type":      es256(t, header("ES256", "ES256", fields{"typ": "x"}), past),
		"kid":       es256(t, header("ES256", "gone"), past),
	} {
		t.Run("SR-31 expired, and the wrong "+name, func(t *testing.T) { want(t, v, bad, deny.AuthInvalid) })
	}
}

func TestMaxLifetime_SR33(t *testing.T) {
	v := verifier(t, func(c *Config) { c.MaxLifetime = time.Hour })
	now := time.Now().Unix()
	want(t, v, es256(t, header("ES256", "ES256"), claims(fields{"exp": now + 3500})), 0)
	want(t, v, es256(t, header("ES256", "ES256"), claims(fields{"exp": now + 3700})), deny.AuthInvalid)
}
