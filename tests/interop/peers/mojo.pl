# Mojolicious as a client and as an echo server. How: tests/interop/run.
use Mojo::Base -strict;
use Mojo::IOLoop;
use Mojo::Server::Daemon;
use Mojo::UserAgent;
use Mojolicious;

$| = 1;
my ($role, $where, $mode) = @ARGV;
my $deflate = $mode eq 'deflate';

sub check {
  my ($good, $name, $why) = @_;
  say $good ? "ok $name" : "FAIL $name: " . ($why // '');
}

sub letters { join '', map { chr(97 + $_ * $_ % 23) } 0 .. $_[0] - 1 }

sub client {
  my $ua = Mojo::UserAgent->new(max_response_size => 0);
  # No empty ones when compressing: its frame for those lacks the byte that RFC 7692 7.2.3.6 asks for.
  for my $end ([4001, 'own reason'], [1000, 'done']) {
    my ($code, $reason) = @$end;
    my @left = map { ({text => $_}, {binary => $_}) } map { letters($_) } ($deflate ? () : 0), 1, 125, 126, 65535, 65536, 1 << 18;
    my $offer = $deflate ? {'Sec-WebSocket-Extensions' => 'permessage-deflate'} : {};
    $ua->websocket($where => $offer => sub {
      my ($agent, $tx) = @_;
      check($tx->is_websocket, 'opening handshake');
      return Mojo::IOLoop->stop unless $tx->is_websocket;
      $tx->max_websocket_size(1 << 24);
      check(!!$tx->compressed == !!$deflate, 'permessage-deflate: ' . ($tx->compressed ? 'yes' : 'no'));
      my $next = sub { @left ? $tx->send($left[0]) : $tx->finish($code, $reason) };
      my $got = sub {
        my ($kind, $bytes) = @_;
        my $sample = shift @left;
        check(($sample->{$kind} // 'another kind') eq $bytes, "$kind of " . length $bytes);
        $next->();
      };
      $tx->on(text => sub { $got->(text => $_[1]) });
      $tx->on(binary => sub { $got->(binary => $_[1]) });
      $tx->on(finish => sub {
        check(!@left && ($_[1] // 0) == $code, "closed by $code", $_[1]);
        Mojo::IOLoop->stop;
      });
      $next->();
    });
    Mojo::IOLoop->start;
  }
}

sub server {
  my $app = Mojolicious->new(secrets => ['x']);
  $app->log->level('fatal');
  $app->routes->websocket('/' => sub {
    my $c = shift;
    $c->tx->max_websocket_size(1 << 24);
    $c->tx->with_compression if $deflate;
    $c->on(text => sub { $_[0]->send({text => $_[1]}) });
    $c->on(binary => sub { $_[0]->send({binary => $_[1]}) });
    $c->on(finish => sub { say 'closed ', $_[1], ' ', $_[2] // '' });
  });
  my $daemon = Mojo::Server::Daemon->new(app => $app, listen => ["http://127.0.0.1:$where"], silent => 1);
  $daemon->start;
  say 'listening';
  Mojo::IOLoop->start;
}

$role eq 'client' ? client() : server();
