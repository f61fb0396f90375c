-- A role that may read what the boards show, and nothing else: no keys, no prompts, no alerts. The journal's tables do not
-- exist yet when the database is made, so each is granted in the moment in which a migration creates it.
CREATE ROLE grafana LOGIN;

CREATE FUNCTION let_grafana_read() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
    made record;
BEGIN
    FOR made IN SELECT object_identity FROM pg_event_trigger_ddl_commands() WHERE command_tag = 'CREATE TABLE' LOOP
        IF made.object_identity IN (
            'public.requests', 'public.charges', 'public.runs', 'public.adjustments', 'public.daily', 'public.daily_requests'
        ) THEN
            EXECUTE format('GRANT SELECT ON %s TO grafana', made.object_identity);
        END IF;
    END LOOP;
END $$;

CREATE EVENT TRIGGER let_grafana_read ON ddl_command_end WHEN TAG IN ('CREATE TABLE')
    EXECUTE FUNCTION let_grafana_read();
