// Package bucket reads a bucket back and says whether it holds exactly what
// was written: every line once, in order, in objects that keep their promises.
//
// It knows nothing of the agent's code: only the documented key template and
// record forms, so that a mistake there cannot hide itself here.
package bucket

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/klauspost/compress/zstd"
)

// Object is one object of the bucket, decompressed.
type Object struct {
	Name    string // the whole key
	Key     Key
	Size    int64    // stored bytes
	Records [][]byte // without newlines
}

// Location is a bucket and how to reach it.
type Location struct {
	Endpoint, Region, Bucket, Prefix string
	AccessKey, SecretKey             string
}

func (l *Location) client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(l.Endpoint),
		Region:       l.Region,
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider(l.AccessKey, l.SecretKey, ""),
	})
}

// Read returns all objects of the bucket in the order of their keys. An object
// that does not decode is an error that names it.
func Read(ctx context.Context, l Location) ([]Object, error) {
	var objects []Object
	err := Each(ctx, l, func(o Object) error {
		objects = append(objects, o)
		return nil
	})
	return objects, err
}

// Each is Read for buckets that do not fit into memory. It returns the first
// error, also of see.
func Each(ctx context.Context, l Location, see func(Object) error) error {
	client := l.client()
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &l.Bucket, Prefix: &l.Prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Errorf("list %s: %w", l.Bucket, err)
		}
		for _, entry := range page.Contents {
			o, err := get(ctx, client, &l, *entry.Key)
			if err == nil {
				err = see(o)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func get(ctx context.Context, client *s3.Client, l *Location, name string) (Object, error) {
	key, err := ParseKey(l.Prefix, name)
	if err != nil {
		return Object{}, err
	}
	out, err := client.GetObject(ctx, &s3.GetObjectInput{Bucket: &l.Bucket, Key: &name})
	if err != nil {
		return Object{}, fmt.Errorf("get %s: %w", name, err)
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	if err != nil {
		return Object{}, fmt.Errorf("get %s: %w", name, err)
	}
	records, err := Decode(key.Ext, data)
	if err != nil {
		return Object{}, fmt.Errorf("%s: %w", name, err)
	}
	return Object{Name: name, Key: key, Size: int64(len(data)), Records: records}, nil
}

// Decode decompresses an object by the extension of its key and splits it into
// records. A gzip object must be one single member with nothing after it, and
// the last record must end with a newline.
func Decode(ext string, data []byte) ([][]byte, error) {
	raw, err := decompress(ext, data)
	if err != nil {
		return nil, err
	}
	if len(raw) == 0 {
		return nil, nil
	}
	if raw[len(raw)-1] != '\n' {
		return nil, errors.New("the last record has no newline")
	}
	return bytes.Split(raw[:len(raw)-1], []byte("\n")), nil
}

func decompress(ext string, data []byte) ([]byte, error) {
	switch ext {
	case ".gz":
		return gunzip(data)
	case ".zst":
		r, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer r.Close()
		return io.ReadAll(r)
	}
	return data, nil
}

// gunzip reads one member. A bytes.Reader is read byte by byte by the decoder,
// so what it leaves is exactly what follows the member.
func gunzip(data []byte) ([]byte, error) {
	in := bytes.NewReader(data)
	r, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	r.Multistream(false)
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if in.Len() > 0 {
		return nil, fmt.Errorf("%d bytes after the gzip member", in.Len())
	}
	return raw, nil
}
