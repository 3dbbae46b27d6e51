"""What needs neither a daemon nor Cinder's services."""

import http.server
import os
import socketserver
import tempfile
import threading
import uuid

from cinder import exception

from restblk_cinder import client
from restblk_cinder import names
from restblk_cinder import options
from restblk_cinder import settings
from tests import daemon


class Names(daemon.Case):
    def test_cinders_name_unless_managed(self):
        volume = self.volume()
        self.assertEqual(volume.name, names.of_volume(volume))
        volume.provider_id = names.bind('disk1', volume.id)
        self.assertEqual('disk1', names.of_volume(volume))

    def test_a_copied_row_never_names_what_it_was_copied_from(self):
        managed = self.volume()
        managed.provider_id = names.bind('disk1', managed.id)
        copy = self.volume(provider_id=managed.provider_id)
        self.assertEqual(copy.name, names.of_volume(copy))

    def test_names_follow_a_migration(self):
        """Cinder swaps _name_id and provider_id of both rows."""
        source = self.volume()
        source.provider_id = names.bind('disk1', source.id)
        target = self.volume()
        new = target.name
        # manager.update_migrated_volume, then finish_volume_migration
        source.update({'_name_id': target.name_id,
                       'provider_id': target.provider_id})
        target.update({'_name_id': source.id, 'provider_id':
                       names.bind('disk1', source.id)})
        self.assertEqual(new, names.of_volume(source))
        self.assertEqual('disk1', names.of_volume(target))

    def test_snapshots(self):
        snapshot = self.snapshot(self.volume())
        self.assertEqual(snapshot.name, names.of_snapshot(snapshot))
        snapshot.provider_id = names.bind('monday', snapshot.id)
        self.assertEqual('monday', names.of_snapshot(snapshot))


class Settings(daemon.Case):
    def of(self, size=10, layout='log', **type_):
        self.types['t'] = type_
        return settings.of_type('t', size, layout, 'local')

    def qos(self, consumer, **specs):
        return {'consumer': consumer, 'specs': specs}

    def test_no_type(self):
        self.assertEqual(settings.Settings('local', {}),
                         settings.of_type(None, 1, 'log', 'local'))

    def test_durability(self):
        given = self.of(extra_specs={'restblk:durability': 'remote'})
        self.assertEqual('remote', given.durability)
        for layout, value in (('log', 'never'), ('direct', 'remote')):
            with self.assertRaises(exception.VolumeDriverException):
                self.of(layout=layout,
                        extra_specs={'restblk:durability': value})

    def test_limits(self):
        given = self.of(qos=self.qos(
            'back-end', total_iops_sec='100', total_iops_sec_max='200',
            total_bytes_sec='1048576', total_bytes_sec_max='4194304'))
        self.assertEqual(
            {'iops': 100, 'iops_burst': 200, 'bytes_per_s': 1 << 20,
             'bytes_burst': 4 << 20}, given.limits)

    def test_limits_that_grow_with_the_volume(self):
        specs = {'total_iops_sec_per_gb': '3',
                 'total_iops_sec_per_gb_min': '50'}
        for size, iops in ((10, 50), (100, 300)):
            given = self.of(size, qos=self.qos('both', **specs))
            self.assertEqual({'iops': iops}, given.limits)

    def test_the_front_ends_are_not_ours(self):
        given = self.of(qos=self.qos('front-end', total_iops_sec='1'))
        self.assertEqual({}, given.limits)

    def test_what_cannot_be_done_is_refused_unless_somebody_else_does(self):
        specs = {'read_iops_sec': '5', 'total_iops_sec': '7'}
        with self.assertRaisesRegex(exception.VolumeDriverException,
                                    'read_iops_sec'):
            self.of(qos=self.qos('back-end', **specs))
        self.assertEqual({'iops': 7},
                         self.of(qos=self.qos('both', **specs)).limits)

    def test_numbers_that_are_none(self):
        for value in ('0', '-3', 'many', '1.5'):
            with self.assertRaises(exception.VolumeDriverException):
                self.of(qos=self.qos('back-end', total_iops_sec=value))

    def test_multiattach_is_refused(self):
        with self.assertRaisesRegex(exception.VolumeDriverException,
                                    'one writer'):
            self.of(extra_specs={'multiattach': '<is> True'})


class Options(daemon.Case):
    def test_all_are_documented_and_ours(self):
        for option in options.OPTS:
            self.assertTrue(option.name.startswith('restblk_'), option.name)
            self.assertTrue(option.help)
        made = daemon.make_driver('/nowhere')
        self.assertEqual(options.OPTS, made.get_driver_options())

    def test_a_pool_is_needed(self):
        with self.assertRaises(exception.InvalidConfigurationValue):
            daemon.make_driver('/nowhere', '').do_setup(self.ctxt)

    def test_connectors_of_other_hosts_are_refused(self):
        made = daemon.make_driver('/nowhere', restblk_local_hosts=['nova1'])
        for host in ('here', 'nova1', os.uname().nodename):
            made.validate_connector({'host': host})
        with self.assertRaises(exception.InvalidConnectorException):
            made.validate_connector({'host': 'elsewhere'})
        made = daemon.make_driver('/nowhere', restblk_local_hosts=['*'])
        made.validate_connector({'host': 'elsewhere'})


class Client(daemon.Case):
    """Against a server that answers what it is told to."""

    def serve(self, status, body, wait=None):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if wait:
                    wait.wait(10)
                self.send_response(status)
                self.send_header('Content-Length', str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self):
                return 'client'

            def log_message(self, *args):
                pass

        class Server(socketserver.ThreadingMixIn,
                     socketserver.UnixStreamServer):
            daemon_threads = True

            def handle_error(self, *args):
                # a client that has gone
                pass

        path = os.path.join(tempfile.gettempdir(), f'r{uuid.uuid4().hex}')
        server = Server(path, Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(os.unlink, path)
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return client.Client(path, 1)

    def refused(self, api):
        with self.assertRaises(client.ApiError) as caught:
            api.call('GET', '/v1/host')
        # Cinder takes it for its own.
        self.assertIsInstance(caught.exception,
                              exception.VolumeBackendAPIException)
        return caught.exception

    def test_answers(self):
        self.assertEqual({'a': 1}, self.serve(200, b'{"a": 1}').call('GET',
                                                                     '/'))
        self.assertIsNone(self.serve(204, b'').call('GET', '/'))

    def test_errors_keep_kind_message_and_hint(self):
        error = self.refused(self.serve(
            409, b'{"kind": "busy", "message": "it is", "hint": "wait"}'))
        self.assertEqual(('busy', 'it is (wait)'), (error.kind, str(error)))

    def test_a_server_that_is_not_the_daemon(self):
        error = self.refused(self.serve(502, b'<html>'))
        self.assertEqual('bug', error.kind)
        self.assertIn('502', str(error))

    def test_silence(self):
        wait = threading.Event()
        self.addCleanup(wait.set)
        error = self.refused(self.serve(200, b'{}', wait))
        self.assertEqual('unavailable', error.kind)
        self.assertIn('no answer in 1 s', str(error))

    def test_no_daemon(self):
        with daemon.mock.patch.object(client.api, 'RESTART_S', 0.3):
            error = self.refused(client.Client('/nowhere/api.sock', 1))
        self.assertEqual('unavailable', error.kind)
        self.assertIn('/nowhere/api.sock', str(error))
