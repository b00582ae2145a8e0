// Package transfer reads and writes files of users, for [latchkey.Engine.Import] and
// [latchkey.Engine.Export]: JSON lines of its own, and the export files of other systems.
//
//	file, err := os.Open("users.jsonl")
//	done, err := engine.Import(ctx, transfer.Read(file, transfer.Latchkey, transfer.Options{}), latchkey.ImportOptions{})
//
// A file is read in one pass, record by record: memory does not grow with it. A record that does
// not have the form of its format is refused with its line and the reason, which holds no value of
// the record, and the others go on. No hash is guessed: one of an unknown scheme refuses its user.
//
// # The lines of Latchkey
//
// A file in the format [Latchkey] is UTF-8, with one JSON object a line. The first line is a
// head, the last one an end with the numbers of records, so that a file that was cut off is
// noticed:
//
//	{"kind":"latchkey","version":1,"secrets":true,"createdAt":"2026-01-02T03:04:05Z"}
//	{"kind":"user","id":"ada","email":"ada@example.org","emailVerified":true,"password":"$argon2id$..."}
//	{"kind":"team","id":"club","name":"Club","createdAt":"2026-01-02T03:04:05Z","updatedAt":"2026-01-02T03:04:05Z"}
//	{"kind":"membership","id":"m1","teamId":"club","userId":"ada","roles":["owner"]}
//	{"kind":"end","users":1,"teams":1,"memberships":1}
//
// Every member may be missing except kind, the id of a team, and the teamId and userId of a
// membership. Teams come after the users, and memberships after the teams. A member that
// version 1 does not have is an error of its line, and a head with a higher version is an error of
// the file. The members of a record are those of [latchkey.PortableUser], [latchkey.PortableTeam]
// and [latchkey.PortableMembership], with a small first letter: times are in RFC 3339, digests in
// base64, and a password is a text of package hasher or foreign. A line has at most 1 MiB.
package transfer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"

	"example.com/latchkey"
)

// MaxLine is the largest size of a record in bytes.
const MaxLine = 1 << 20

// Format names the form of a file.
type Format string

// Latchkey is the format of this package.
const Latchkey Format = "latchkey"

// Options are what the file of another system does not say.
type Options struct {
}

// The errors of a whole file.
var (
	ErrFormat   = errors.New("transfer: the file does not have this format")
	ErrVersion  = errors.New("transfer: a newer version of this program has written the file")
	ErrTooShort = errors.New("transfer: the file has been cut off")
)

// Records are the records of a file. A record that cannot be read comes as a
// *latchkey.RecordError. Any other error is one of the whole file, and the last.
type Records = iter.Seq2[latchkey.Portable, error]

// readers are the formats.
var readers = map[Format]func(io.Reader, Options) Records{
	Latchkey: readLines,
}

// Formats returns the formats that [Read] knows, in the order of the alphabet.
func Formats() (all []Format) {
	for f := range readers {
		all = append(all, f)
	}
	slices.Sort(all)
	return all
}

// Read returns the records of a file. The file is read as the records are asked for, once.
//
// Errors of the whole file:
//   - [ErrFormat], [ErrVersion], [ErrTooShort]
//   - those of r
func Read(r io.Reader, f Format, o Options) Records {
	read, known := readers[f]
	if !known {
		return func(yield func(latchkey.Portable, error) bool) {
			yield(latchkey.Portable{}, fmt.Errorf("%w: its name is not known", ErrFormat))
		}
	}
	return read(r, o)
}

// refuse returns the error of one record.
func refuse(line int, format string, args ...any) error {
	return &latchkey.RecordError{Line: line, Reason: fmt.Sprintf(format, args...)}
}

// lines calls yield with each line of a file that is not empty, until it returns false. A line
// that is too long is nil. The error is that of the reader.
func lines(r io.Reader, yield func(number int, line []byte) bool) error {
	in := bufio.NewReaderSize(r, 64<<10)
	for number := 1; ; number++ {
		line, err := readLine(in)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(line) > MaxLine {
			line = nil
		} else if len(line) == 0 {
			if err != nil {
				return nil
			}
			continue
		}
		if !yield(number, line) || err != nil {
			return nil
		}
	}
}

// readLine returns the next line without its end. Of a line that is too long it keeps a byte more
// than MaxLine.
func readLine(in *bufio.Reader) (line []byte, err error) {
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part[:min(len(part), MaxLine+2-len(line))]...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == nil:
			line = trimEnd(line)
		}
		return line, err
	}
}

// trimEnd cuts the end of a line off.
func trimEnd(line []byte) []byte {
	for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}
