// nhooyr.io/websocket as a client and as an echo server. How: tests/interop/run.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"nhooyr.io/websocket"
)

func check(good bool, name string, why interface{}) {
	if good {
		fmt.Println("ok", name)
	} else {
		fmt.Printf("FAIL %s: %v\n", name, why)
	}
}

func letters(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(97 + i*i%23)
	}
	return b
}

func client(ctx context.Context, url string, mode websocket.CompressionMode) {
	closes := []struct {
		code   websocket.StatusCode
		reason string
	}{{4001, "own reason"}, {1000, "done"}}
	for _, end := range closes {
		c, response, err := websocket.Dial(ctx, url, &websocket.DialOptions{CompressionMode: mode})
		check(err == nil, "opening handshake", err)
		c.SetReadLimit(1 << 24)
		agreed := strings.Contains(response.Header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
		check(agreed == (mode != websocket.CompressionDisabled), fmt.Sprint("permessage-deflate: ", agreed), "")
		for _, kind := range []websocket.MessageType{websocket.MessageText, websocket.MessageBinary} {
			for _, size := range []int{0, 1, 125, 126, 65535, 65536, 1 << 20} {
				sent := letters(size)
				err := c.Write(ctx, kind, sent)
				was, got, failed := c.Read(ctx)
				check(err == nil && failed == nil && was == kind && bytes.Equal(got, sent), fmt.Sprint(kind, ", size ", size), failed)
			}
		}
		// Close waits for the answer; Read then tells its code.
		err = c.Close(end.code, end.reason)
		_, _, failed := c.Read(ctx)
		check(err == nil && websocket.CloseStatus(failed) == end.code, fmt.Sprint("closed by ", int(end.code)), failed)
	}
}

func main() {
	ctx := context.Background()
	mode := websocket.CompressionDisabled
	if os.Args[3] == "deflate" {
		mode = websocket.CompressionContextTakeover
	}
	if os.Args[1] == "client" {
		client(ctx, os.Args[2], mode)
		return
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: mode})
		if err != nil {
			return
		}
		c.SetReadLimit(1 << 24)
		for {
			kind, message, err := c.Read(ctx)
			var end websocket.CloseError
			if errors.As(err, &end) {
				fmt.Println("closed", int(end.Code), end.Reason)
			}
			if err != nil {
				return
			}
			c.Write(ctx, kind, message)
		}
	})
	fmt.Println("listening")
	fmt.Println(http.ListenAndServe("127.0.0.1:"+os.Args[2], nil))
}
