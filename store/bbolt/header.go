package bbolt

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"

	"example.com/latchkey/store"
)

// A bbolt file begins with two pages. Each has a header of 16 bytes and then one
// of the last two states of the file: magic number, format, page size, flags,
// root bucket, freelist, number of pages, transaction, checksum.
const (
	pageHeader = 16
	metaSize   = 64
	metaMagic  = 0xED0CDAED
	metaFormat = 2
)

// meta is one state of the file.
type meta struct {
	pageSize, freelist, pages, transaction uint64
}

// noFreelist is the number of the freelist's page in a file without a freelist.
const noFreelist = ^uint64(0)

// freelistWhole reports whether the page of the freelist is a freelist, and names
// pages of the file in rising order. bbolt reads the page at opening. If it is
// not whole, bbolt panics with the lock held, or asks for all memory.
func (m *meta) freelistWhole(r io.ReaderAt) bool {
	const flagFreelist, manyIDs = 0x10, 0xFFFF
	order := binary.NativeEndian
	at := int64(m.freelist * m.pageSize)
	var head [pageHeader + 8]byte
	if _, err := r.ReadAt(head[:], at); err != nil || m.freelist >= m.pages || order.Uint64(head[:]) != m.freelist ||
		order.Uint16(head[8:]) != flagFreelist {
		return false
	}
	ids, first := uint64(order.Uint16(head[10:])), at+pageHeader
	if ids == manyIDs { // the number did not fit into the header, and stands before the ids
		ids, first = order.Uint64(head[pageHeader:]), first+8
	}
	room := (uint64(order.Uint32(head[12:])) + 1) * m.pageSize
	if ids > m.pages || 8*ids+uint64(first-at) > room {
		return false
	}
	b := make([]byte, 8*ids)
	if _, err := r.ReadAt(b, first); err != nil {
		return false
	}
	last := uint64(1) // pages 0 and 1 hold the two states
	for ; len(b) > 0; b = b[8:] {
		id := order.Uint64(b)
		if id <= last || id >= m.pages {
			return false
		}
		last = id
	}
	return true
}

// checkHeader refuses a file on which bbolt would panic, or to which it would
// write although the file is not ours: neither state is whole, or pages are
// missing. A missing or empty file passes.
func checkHeader(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("bbolt: open: %w", err)
	}
	defer f.Close()
	for range 100 {
		newest, magic := readMetas(f)
		err := newest.check(f, magic)
		// A process that holds the file may have written between the reads.
		if again, _ := readMetas(f); err == nil || again == nil || newest == nil || *again == *newest {
			return err
		}
	}
	return nil // another process uses the file, and has locked it
}

// check examines a file by its newest state, which is nil if no state is whole.
// magic says that the file has the magic number of bbolt.
func (m *meta) check(f *os.File, magic bool) error {
	info, err := f.Stat() // after the states were read, since a file only grows
	switch {
	case err != nil:
		return fmt.Errorf("bbolt: open: %w", err)
	case info.Size() == 0:
		return nil
	case !magic:
		return fmt.Errorf("bbolt: %w", store.ErrForeign)
	case m == nil:
		return fmt.Errorf("bbolt: %w: no whole state of the file", store.ErrDamaged)
	case uint64(info.Size()) < m.pages*m.pageSize:
		return fmt.Errorf("bbolt: %w: the file has lost its end", store.ErrDamaged)
	case m.freelist == noFreelist:
		return fmt.Errorf("bbolt: %w", store.ErrForeign) // our files have a freelist, and bbolt would write one
	case !m.freelistWhole(f):
		return fmt.Errorf("bbolt: %w: the freelist is not whole", store.ErrDamaged)
	}
	return nil
}

// readMetas returns the newest state that is whole, or nil. magic reports whether
// any place has the magic number of a state. If the first state is damaged, the
// page size is not known, so the second is sought at each possible size.
func readMetas(r io.ReaderAt) (newest *meta, magic bool) {
	for offset := int64(0); offset <= 64<<10; offset = max(1<<10, offset*2) {
		var b [metaSize]byte
		if _, err := r.ReadAt(b[:], offset+pageHeader); err != nil {
			continue
		}
		m, whole := parseMeta(b)
		magic = magic || binary.NativeEndian.Uint32(b[:]) == metaMagic
		if whole && (offset == 0 || m.pageSize == uint64(offset)) && (newest == nil || m.transaction > newest.transaction) {
			newest = &m
		}
	}
	return newest, magic
}

func parseMeta(b [metaSize]byte) (m meta, whole bool) {
	sum := fnv.New64a()
	_, _ = sum.Write(b[:56])
	order := binary.NativeEndian
	m = meta{uint64(order.Uint32(b[8:])), order.Uint64(b[32:]), order.Uint64(b[40:]), order.Uint64(b[48:])}
	return m, order.Uint32(b[:]) == metaMagic && order.Uint32(b[4:]) == metaFormat && order.Uint64(b[56:]) == sum.Sum64()
}
