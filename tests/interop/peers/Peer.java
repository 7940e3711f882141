// Java's own WebSocket client (java.net.http). How: tests/interop/run.
import java.io.ByteArrayOutputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

public class Peer {
  static final BlockingQueue<Object> events = new LinkedBlockingQueue<>();

  static class Listener implements WebSocket.Listener {
    final StringBuilder text = new StringBuilder();
    final ByteArrayOutputStream binary = new ByteArrayOutputStream();

    public CompletionStage<?> onText(WebSocket socket, CharSequence part, boolean last) {
      text.append(part);
      if (last) {
        events.add(text.toString());
        text.setLength(0);
      }
      socket.request(1);
      return null;
    }
    public CompletionStage<?> onBinary(WebSocket socket, ByteBuffer part, boolean last) {
      byte[] bytes = new byte[part.remaining()];
      part.get(bytes);
      binary.writeBytes(bytes);
      if (last) {
        events.add(binary.toByteArray());
        binary.reset();
      }
      socket.request(1);
      return null;
    }
    public CompletionStage<?> onPong(WebSocket socket, ByteBuffer payload) {
      events.add("pong of " + payload.remaining());
      socket.request(1);
      return null;
    }
    public CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
      events.add("close " + code);
      return null;
    }
    public void onError(WebSocket socket, Throwable error) { events.add("error " + error); }
  }

  static void check(boolean good, String name, Object why) { System.out.println(good ? "ok " + name : "FAIL " + name + ": " + why); }

  static byte[] letters(int n) {
    byte[] bytes = new byte[n];
    for (int i = 0; i < n; ++i) bytes[i] = (byte) (97 + (long) i * i % 23);
    return bytes;
  }

  public static void main(String[] arguments) throws Exception {
    for (int code : new int[] {4001, 1000}) {
      WebSocket socket = HttpClient.newHttpClient().newWebSocketBuilder().buildAsync(URI.create(arguments[1]), new Listener()).get();
      check(true, "opening handshake", "");
      for (String text : new String[] {"Hello", "Gr\u00fc\u00dfe, \u4e16\u754c, \ud83c\udf10", "", new String(letters(65535))}) {
        socket.sendText(text, true).get();
        Object got = events.poll(10, TimeUnit.SECONDS);
        check(text.equals(got), "text of " + text.length(), got);
      }
      for (int size : new int[] {0, 1, 125, 126, 65536, 1 << 20}) {
        byte[] bytes = letters(size);
        socket.sendBinary(ByteBuffer.wrap(bytes), true).get();
        Object got = events.poll(10, TimeUnit.SECONDS);
        check(got instanceof byte[] && Arrays.equals(bytes, (byte[]) got), "binary of " + size, got);
      }
      socket.sendText("in ", false).get();
      socket.sendText("fragments", true).get();
      Object got = events.poll(10, TimeUnit.SECONDS);
      check("in fragments".equals(got), "fragments", got);
      socket.sendPing(ByteBuffer.wrap(letters(5))).get();
      got = events.poll(10, TimeUnit.SECONDS);
      check("pong of 5".equals(got), "ping", got);
      socket.sendClose(code, "done").get();
      got = events.poll(10, TimeUnit.SECONDS);
      check(("close " + code).equals(got), "closed by " + code, got);
    }
    System.exit(0);
  }
}
