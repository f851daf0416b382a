package state

import (
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/sallyport/sallyport/auth/session"
	"github.com/sallyport/sallyport/guard"
)

// verify reads every row and counts.
func verify(tx *bbolt.Tx, have *counts) error {
	v, err := get(tx, metaBucket, versionKey)
	if err != nil {
		return err
	}
	if string(v) != version {
		return fmt.Errorf("%w (%q, this program knows %q)", ErrVersion, v, version)
	}
	rows := map[string]int{}
	for _, name := range buckets {
		err := each(tx, name, func(key, value []byte) error {
			rows[name]++
			switch name {
			case revocationsBucket:
				return json.Unmarshal(value, new(guard.Revocation))
			case sessionsBucket:
				return verifySession(tx, key, value)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if n := rows[sessionsBucket]; rows[idsBucket] != n || rows[endsBucket] != n {
		return fmt.Errorf("%w: the indices of sessions differ", ErrCorrupt)
	}
	*have = counts{revocations: rows[revocationsBucket], sessions: rows[sessionsBucket], secrets: rows[secretsBucket]}
	want, err := get(tx, metaBucket, countsKey)
	if err != nil {
		return err
	}
	if string(want) != string(have.row()) {
		return fmt.Errorf("%w: there were %q rows, now %q", ErrCorrupt, want, have.row())
	}
	return nil
}

// verifySession demands that a session is found by its id and by its end.
func verifySession(tx *bbolt.Tx, key, value []byte) error {
	var r session.Record
	if err := json.Unmarshal(value, &r); err != nil {
		return err
	}
	if len(key) != 32 {
		return errors.New("a key of another length")
	}
	byID, err := get(tx, idsBucket, []byte(r.ID))
	if err != nil {
		return err
	}
	byEnd, err := get(tx, endsBucket, endKey(r.Expires, [32]byte(key)))
	if err != nil {
		return err
	}
	if string(byID) != string(key) || byEnd == nil {
		return errors.New("an index does not know it")
	}
	return nil
}
