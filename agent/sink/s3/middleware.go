package s3

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// customize changes the SDK's request pipeline in three places.
//
// The payload hash is set before the SDK would compute it: it then neither
// reads the body to hash it (plain HTTP) nor leaves it unsigned (HTTPS).
//
// The SDK's decoding of the answer is replaced, and with it its look into the
// body of a 200: both read a body of any size into memory, and neither can tell
// S3 from a portal that answers in its place.
func customize(stack *middleware.Stack) error {
	if err := stack.Initialize.Add(middleware.InitializeMiddlewareFunc("KnownPayloadHash", setPayloadHash), middleware.After); err != nil {
		return err
	}
	if _, err := stack.Deserialize.Remove("S3:ProcessResponseFor200Error"); err != nil {
		return err
	}
	_, err := stack.Deserialize.Swap("OperationDeserializer",
		middleware.DeserializeMiddlewareFunc("OperationDeserializer", keepAnswer))
	return err
}

// setPayloadHash hands the object's checksum to the signer.
func setPayloadHash(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
	middleware.InitializeOutput, middleware.Metadata, error,
) {
	sum := attemptOf(ctx).object.SHA256
	return next.HandleInitialize(v4.SetPayloadHash(ctx, hex.EncodeToString(sum[:])), in)
}

// keepAnswer stores the answer in the attempt of ctx, whatever it is. The SDK
// sees a success; what the answer means is for classify to say.
//
// It also names the request's protocol, which the SDK leaves out: net/http waits
// for a 100-continue only in requests that say they are HTTP/1.1.
func keepAnswer(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (
	middleware.DeserializeOutput, middleware.Metadata, error,
) {
	if request, ok := in.Request.(*smithyhttp.Request); ok {
		request.Proto, request.ProtoMajor, request.ProtoMinor = "HTTP/1.1", 1, 1
	}
	out, metadata, err := next.HandleDeserialize(ctx, in)
	if err != nil {
		return out, metadata, err
	}
	response, ok := out.RawResponse.(*smithyhttp.Response)
	if !ok {
		return out, metadata, fmt.Errorf("unexpected transport response %T", out.RawResponse)
	}
	defer response.Body.Close()
	a, err := readAnswer(response.Response)
	attemptOf(ctx).answer = a
	out.Result = &awss3.PutObjectOutput{}
	return out, metadata, err
}

// userAgent adds "name" or "name/version" to the User-Agent header.
func userAgent(product string) func(*middleware.Stack) error {
	if name, version, ok := strings.Cut(product, "/"); ok {
		return awsmiddleware.AddUserAgentKeyValue(name, version)
	}
	return awsmiddleware.AddUserAgentKey(product)
}
