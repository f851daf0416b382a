package state

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"slices"
)

// The format of a bbolt file. Every page begins with 16 bytes: its number (8),
// kind and number of elements (2 each) and how many pages it goes on for (4).
// The first two are the heads ("meta pages"), of which the last transaction
// wrote one: magic, version, page size, flags (4 each), root and its sequence,
// free list, number of pages, transaction and checksum (8 each). The others are
// a tree: a branch has an offset, the length of a key (4 each) and a page (8) per
// element, a leaf flags, an offset and the lengths of key and value (4 each). The
// offset counts from the element. A value of a leaf may be a bucket: its root and
// sequence (8 each) and, if the root is 0, its only page.
const (
	pageKind  = 8
	pageCount = 10
	pageMore  = 12
	pageData  = 16
	headRoot  = pageData + 16
	headFree  = pageData + 32
	headPages = pageData + 40
	headTx    = pageData + 48
	headSum   = pageData + 56
	headSize  = pageData + 64
	element   = 16

	kindBranch = 0x01
	kindLeaf   = 0x02
	kindFree   = 0x10
	flagBucket = 0x01
	countFirst = 0xffff // of a free list: the number of elements is in the first
)

func u16(b []byte) uint64 { return uint64(binary.NativeEndian.Uint16(b)) }
func u32(b []byte) uint64 { return uint64(binary.NativeEndian.Uint32(b)) }
func u64(b []byte) uint64 { return binary.NativeEndian.Uint64(b) }

// pages is a file in which no page was seen twice.
type pages struct {
	f    *os.File
	size uint64 // of a page, in bytes
	seen []bool
}

// checkPages reads the whole file and demands that every page is in its place,
// whole and used once. bbolt trusts all of this: it would crash, or run for
// hours. It also is content with one good head and goes back to the older one,
// which would undo the last change in silence; here both must be good.
func checkPages(f *os.File, size int64) error {
	head, err := checkHeads(f, size)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	want := u64(head[headPages:])
	if have := uint64(info.Size()) / uint64(size); have < want {
		return fmt.Errorf("%d of %d pages are missing", want-have, want)
	}
	p := &pages{f: f, size: uint64(size), seen: make([]bool, want)}
	if err := errors.Join(p.see(0, 0), p.see(1, 0)); err != nil {
		return err
	}
	if err := p.tree(u64(head[headRoot:]), nil, nil); err != nil {
		return err
	}
	if err := p.free(u64(head[headFree:])); err != nil {
		return err
	}
	if i := slices.Index(p.seen, false); i >= 0 {
		return fmt.Errorf("page %d is lost", i)
	}
	return nil
}

// checkHeads returns the newer head.
func checkHeads(f *os.File, size int64) (newest [headSize]byte, err error) {
	for i := range int64(2) {
		var head [headSize]byte
		if _, err := f.ReadAt(head[:], i*size); err != nil {
			return newest, fmt.Errorf("read head %d: %w", i, err)
		}
		sum := fnv.New64a()
		_, _ = sum.Write(head[pageData:headSum])
		if sum.Sum64() != u64(head[headSum:]) {
			return newest, fmt.Errorf("head %d: wrong checksum", i)
		}
		if u64(head[headTx:]) >= u64(newest[headTx:]) {
			newest = head
		}
	}
	return newest, nil
}

// see marks a page and those that it goes on for.
func (p *pages) see(id, more uint64) error {
	if n := uint64(len(p.seen)); id >= n || more >= n-id {
		return fmt.Errorf("page %d and %d more are beyond the end", id, more)
	}
	for i := id; i <= id+more; i++ {
		if p.seen[i] {
			return fmt.Errorf("page %d is used twice", i)
		}
		p.seen[i] = true
	}
	return nil
}

// read returns a page with those that it goes on for.
func (p *pages) read(id uint64) ([]byte, error) {
	var head [pageData]byte
	if id >= uint64(len(p.seen)) {
		return nil, fmt.Errorf("page %d is beyond the end", id)
	}
	if _, err := p.f.ReadAt(head[:], int64(id*p.size)); err != nil {
		return nil, fmt.Errorf("read page %d: %w", id, err)
	}
	more := u32(head[pageMore:])
	if u64(head[:]) != id {
		return nil, fmt.Errorf("page %d is another", id)
	}
	if err := p.see(id, more); err != nil {
		return nil, err
	}
	b := make([]byte, (more+1)*p.size)
	if _, err := p.f.ReadAt(b, int64(id*p.size)); err != nil {
		return nil, fmt.Errorf("read page %d: %w", id, err)
	}
	return b, nil
}

// tree checks a page and those below it, whose keys are from low on and less
// than high, if there is one. It ends because no page is read twice.
func (p *pages) tree(id uint64, low, high []byte) error {
	b, err := p.read(id)
	if err != nil {
		return err
	}
	switch u16(b[pageKind:]) {
	case kindLeaf:
		return p.leaf(b, low, high)
	case kindBranch:
	default:
		return fmt.Errorf("page %d is of a wrong kind", id)
	}
	n := u16(b[pageCount:])
	if n == 0 {
		return fmt.Errorf("page %d is empty", id)
	}
	keys := make([][]byte, n+1)
	keys[n] = high
	for i := range n {
		if keys[i], _, err = part(b, i, 0, 4, 0); err != nil {
			return err
		}
	}
	for i := range n {
		if err := inOrder(keys[i], low, keys[i+1]); err != nil {
			return err
		}
		low = keys[i]
		if err := p.tree(u64(b[pageData+element*i+8:]), keys[i], keys[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (p *pages) leaf(b []byte, low, high []byte) error {
	for i := range u16(b[pageCount:]) {
		key, value, err := part(b, i, 4, 8, 12)
		if err != nil {
			return err
		}
		if err := inOrder(key, low, high); err != nil {
			return err
		}
		low = append(bytes.Clone(key), 0) // the least key after this one
		if u32(b[pageData+element*i:])&flagBucket == 0 {
			continue
		}
		if len(value) < pageData {
			return errors.New("a bucket is too short")
		}
		if root := u64(value); root != 0 {
			err = p.tree(root, nil, nil)
		} else if value = value[16:]; len(value) < pageData || u16(value[pageKind:]) != kindLeaf {
			err = errors.New("a small bucket is damaged")
		} else {
			err = p.leaf(value, nil, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// part returns the key and the value of an element. offset, key and value say
// where in it the numbers are; no value if value is 0.
func part(b []byte, i, offset, key, value uint64) (k, v []byte, err error) {
	at, end := pageData+element*i, uint64(len(b))
	if at+element > end {
		return nil, nil, errors.New("a page has too many elements")
	}
	e := b[at:]
	start, keyLen, valueLen := at+u32(e[offset:]), u32(e[key:]), uint64(0)
	if value != 0 {
		valueLen = u32(e[value:])
	}
	if start+keyLen+valueLen > end {
		return nil, nil, errors.New("an element goes beyond its page")
	}
	return b[start : start+keyLen], b[start+keyLen : start+keyLen+valueLen], nil
}

func inOrder(key, low, high []byte) error {
	if bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 {
		return errors.New("keys are out of order")
	}
	return nil
}

// free checks the list of free pages.
func (p *pages) free(id uint64) error {
	b, err := p.read(id)
	if err != nil {
		return fmt.Errorf("free list: %w", err)
	}
	n, list := u16(b[pageCount:]), b[pageData:]
	if n == countFirst {
		n, list = u64(list), list[8:]
	}
	if u16(b[pageKind:]) != kindFree || n > uint64(len(list))/8 {
		return errors.New("the free list is damaged")
	}
	for i := range n {
		if err := p.see(u64(list[8*i:]), 0); err != nil {
			return fmt.Errorf("free list: %w", err)
		}
	}
	return nil
}
