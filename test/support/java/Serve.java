/** Serve NAME PORT [ADDRESS]...: answers whoever connects or sends a datagram with both ends, as Java tells them. */
import java.io.IOException;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;

final class Serve {
  static String name;

  static String end(InetAddress address, int port) {
    return "{\"address\": \"" + address.getHostAddress() + "\", \"port\": " + port + "}";
  }

  static byte[] answer(String peer, String local) {
    String line = "{\"tag\": \"" + name + "\", \"peer\": " + peer + ", \"local\": " + local + "}\n";
    return line.getBytes(StandardCharsets.UTF_8);
  }

  static void connections(ServerSocket listener) throws IOException {
    while (true) {
      try (Socket connection = listener.accept()) {
        String peer = end(connection.getInetAddress(), connection.getPort());
        String local = end(connection.getLocalAddress(), connection.getLocalPort());
        connection.getOutputStream().write(answer(peer, local));
      }
    }
  }

  static void datagrams(DatagramSocket socket) throws IOException {
    DatagramPacket packet = new DatagramPacket(new byte[2048], 2048);
    while (true) {
      socket.receive(packet);
      String peer = end(packet.getAddress(), packet.getPort());
      byte[] answer = answer(peer, end(socket.getLocalAddress(), socket.getLocalPort()));
      socket.send(new DatagramPacket(answer, answer.length, packet.getSocketAddress()));
    }
  }

  interface Work {
    void run() throws IOException;
  }

  static void must(Work work) {
    try {
      work.run();
    } catch (IOException error) {
      error.printStackTrace();
      System.exit(1);
    }
  }

  static void start(Work work) {
    new Thread(() -> must(work)).start();
  }

  public static void main(String[] arguments) {
    must(() -> serve(arguments));
  }

  static void serve(String[] arguments) throws IOException {
    name = arguments[0];
    int port = Integer.parseInt(arguments[1]);
    List<String> addresses = Arrays.asList(arguments).subList(2, arguments.length);
    if (addresses.isEmpty()) {
      ServerSocket listener = new ServerSocket(port);
      DatagramSocket socket = new DatagramSocket(port);
      start(() -> connections(listener));
      start(() -> datagrams(socket));
    }
    for (String address : addresses) {
      InetSocketAddress end = new InetSocketAddress(InetAddress.getByName(address), port);
      ServerSocket listener = new ServerSocket();
      listener.bind(end);
      DatagramSocket socket = new DatagramSocket(end);
      start(() -> connections(listener));
      start(() -> datagrams(socket));
    }
    System.out.println("listening");
  }
}
