package s3

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strconv"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// fastListing puts a decoder of listings before the SDK's, which takes some 15 us for
// an object: minutes for a bucket of ten million. It reads what stores send, elements
// without anything odd, and leaves everything else to the SDK's.
func fastListing(stack *middleware.Stack) error {
	const id = "OperationDeserializer"
	slow, ok := stack.Deserialize.Get(id)
	if !ok {
		return nil
	}
	_, err := stack.Deserialize.Swap(id, middleware.DeserializeMiddlewareFunc(id, func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, metadata, err := next.HandleDeserialize(ctx, in)
		response, ok := out.RawResponse.(*smithyhttp.Response)
		if err == nil && ok && response.StatusCode == http.StatusOK {
			var body []byte
			if body, err = io.ReadAll(response.Body); err == nil {
				if result := parseListing(body); result != nil {
					out.Result = result
					return out, metadata, nil
				}
			}
			response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
			err = nil
		}
		return slow.HandleDeserialize(ctx, in, handled{out, metadata, err})
	}))
	return err
}

// failing is what is behind the end of a body.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}

// handled is a handler that has its answer already.
type handled struct {
	out      middleware.DeserializeOutput
	metadata middleware.Metadata
	err      error
}

// HandleDeserialize implements middleware.DeserializeHandler.
func (a handled) HandleDeserialize(context.Context, middleware.DeserializeInput) (middleware.DeserializeOutput, middleware.Metadata, error) {
	return a.out, a.metadata, a.err
}

// parseListing reads the parts of a listing that Reader.List asks for; nil if anything
// in it is not as stores write it.
func parseListing(b []byte) *awss3.ListObjectsV2Output {
	x := &elements{rest: b}
	if x.skip("<?xml") {
		x.past("?>")
	}
	out := &awss3.ListObjectsV2Output{Contents: make([]types.Object, 0, bytes.Count(b, []byte("<Contents>")))}
	x.space()
	x.inside("ListBucketResult", func(name string) {
		switch name {
		case "Contents":
			var o types.Object
			x.children(name, func(name string) {
				switch name {
				case "Key":
					o.Key = aws.String(x.text(name))
				case "Size":
					n, err := strconv.ParseInt(x.text(name), 10, 64)
					x.odd = x.odd || err != nil
					o.Size = &n
				default:
					x.ignore(name)
				}
			})
			x.odd = x.odd || o.Key == nil
			out.Contents = append(out.Contents, o)
		case "CommonPrefixes":
			var p types.CommonPrefix
			x.children(name, func(name string) {
				if name != "Prefix" {
					x.ignore(name)
					return
				}
				p.Prefix = aws.String(x.text(name))
			})
			out.CommonPrefixes = append(out.CommonPrefixes, p)
		case "IsTruncated":
			truncated, err := strconv.ParseBool(x.text(name))
			x.odd = x.odd || err != nil
			out.IsTruncated = &truncated
		case "NextContinuationToken":
			out.NextContinuationToken = aws.String(x.text(name))
		default:
			x.ignore(name)
		}
	})
	x.space()
	if x.odd || len(x.rest) > 0 {
		return nil
	}
	if len(out.Contents) == 0 {
		out.Contents = nil
	}
	return out
}

// elements reads XML of elements and text only, whose names have no prefix and, but
// for the outermost, no attributes.
type elements struct {
	rest []byte
	odd  bool // something else was met: what is read from then on means nothing
}

// maxDepth bounds how deep ignored elements are.
const maxDepth = 8

func (x *elements) space() { x.rest = bytes.TrimLeft(x.rest, " \t\r\n") }

// skip passes text over if it comes next.
func (x *elements) skip(text string) bool {
	if len(x.rest) < len(text) || string(x.rest[:len(text)]) != text {
		return false
	}
	x.rest = x.rest[len(text):]
	return true
}

// must passes text over, which has to come next.
func (x *elements) must(text string) { x.odd = x.odd || !x.skip(text) }

// past goes on behind the next text.
func (x *elements) past(text string) {
	i := bytes.Index(x.rest, []byte(text))
	if i < 0 {
		x.odd = true
		return
	}
	x.rest = x.rest[i+len(text):]
}

// inside calls child for each element in the outermost one.
func (x *elements) inside(name string, child func(string)) {
	x.must("<" + name)
	end := bytes.IndexByte(x.rest, '>')
	if end < 0 || end > 0 && (x.rest[0] != ' ' || x.rest[end-1] == '/') || bytes.IndexByte(x.rest[:max(end, 0)], '<') >= 0 {
		x.odd = true
		return
	}
	x.rest = x.rest[end+1:]
	x.children(name, child)
}

// children calls child, which reads the element to its end, for each element up to
// the end of name.
func (x *elements) children(name string, child func(string)) {
	for {
		x.space()
		if x.odd || x.closed(name) {
			return
		}
		if name := x.open(); name != "" {
			child(name)
		}
	}
}

// open reads a start tag; "" if it is not a plain one.
func (x *elements) open() string {
	if len(x.rest) > 0 && x.rest[0] == '<' {
		for i, c := range x.rest[1:] {
			switch {
			case c == '>' && i > 0:
				name := x.rest[1 : i+1]
				x.rest = x.rest[i+2:]
				return element(name)
			case c|0x20-'a' < 26 || c-'0' < 10:
				continue
			}
			break
		}
	}
	x.odd = true
	return ""
}

// element is a name without a copy for those that are frequent.
func element(name []byte) string {
	for _, known := range [...]string{"Contents", "Key", "LastModified", "ETag", "Size", "StorageClass", "CommonPrefixes", "Prefix"} {
		if string(name) == known {
			return known
		}
	}
	return string(name)
}

// closed passes the end tag of name over if it comes next.
func (x *elements) closed(name string) bool {
	n := len(name) + 3
	if len(x.rest) < n || x.rest[0] != '<' || x.rest[1] != '/' || string(x.rest[2:n-1]) != name || x.rest[n-1] != '>' {
		return false
	}
	x.rest = x.rest[n:]
	return true
}

// raw reads the text of an element that has nothing else, and its end tag.
func (x *elements) raw(name string) []byte {
	i := bytes.IndexByte(x.rest, '<')
	if i < 0 {
		x.odd = true
		return nil
	}
	text := x.rest[:i]
	x.rest = x.rest[i:]
	x.odd = x.odd || !x.closed(name)
	return text
}

// text is raw with references resolved.
func (x *elements) text(name string) string {
	raw := x.raw(name)
	if bytes.IndexByte(raw, '&') < 0 && bytes.IndexByte(raw, '\r') < 0 && utf8.Valid(raw) {
		return string(raw)
	}
	text := make([]byte, 0, len(raw))
	for len(raw) > 0 && !x.odd {
		if raw[0] != '&' {
			text = append(text, raw[0])
			x.odd = raw[0] == '\r'
			raw = raw[1:]
			continue
		}
		reference, after, found := bytes.Cut(raw, []byte{';'})
		c, known := references[string(reference)]
		x.odd = !found || !known
		text, raw = append(text, c), after
	}
	x.odd = x.odd || !utf8.Valid(text)
	return string(text)
}

var references = map[string]byte{"&amp": '&', "&lt": '<', "&gt": '>', "&quot": '"', "&apos": '\'', "&#34": '"', "&#39": '\''}

// ignore reads an element to its end.
func (x *elements) ignore(name string) { x.ignoreAt(name, 0) }

func (x *elements) ignoreAt(name string, depth int) {
	if i := bytes.IndexByte(x.rest, '<'); i >= 0 && i+1 < len(x.rest) && x.rest[i+1] == '/' {
		x.raw(name)
		return
	}
	if x.odd = x.odd || depth == maxDepth; !x.odd {
		x.children(name, func(child string) { x.ignoreAt(child, depth+1) })
	}
}
