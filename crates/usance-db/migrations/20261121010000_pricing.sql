-- Every charge model and aggregation, the terms around a price, and which events a meter or a price is about.

ALTER TABLE meters
    ADD COLUMN filters         jsonb NOT NULL DEFAULT '{}', -- of a property the values that count; {} lets every event pass
    ADD COLUMN group_by        text[] NOT NULL DEFAULT '{}', -- properties by which usage can be told apart
    ADD COLUMN rounding_mode   text,
    ADD COLUMN rounding_scale  smallint, -- digits after the point, below zero before it
    ADD COLUMN recurring       boolean NOT NULL DEFAULT false, -- whether the value is carried over from period to period
    DROP CONSTRAINT meters_aggregation_check,
    ADD CONSTRAINT meters_aggregation_check CHECK (
        aggregation IN ('count', 'sum', 'max', 'min', 'average', 'unique_count', 'latest', 'weighted_sum')
    ),
    ADD CONSTRAINT meters_filters_check CHECK (jsonb_typeof(filters) = 'object'),
    ADD CONSTRAINT meters_rounding_mode_check CHECK (rounding_mode IN ('half_up', 'ceil', 'floor')),
    ADD CONSTRAINT meters_rounding_scale_check CHECK (rounding_scale BETWEEN -6 AND 12),
    ADD CONSTRAINT meters_rounding_check CHECK ((rounding_mode IS NULL) = (rounding_scale IS NULL)),
    ADD CONSTRAINT meters_recurring_check CHECK (NOT recurring OR aggregation NOT IN ('max', 'min', 'average'));

ALTER TABLE prices
    ADD COLUMN terms            jsonb NOT NULL DEFAULT '{}', -- what happens before and after the charge model
    ADD COLUMN filters          jsonb NOT NULL DEFAULT '{}', -- of a property the values that are priced
    ADD COLUMN group_by         text[] NOT NULL DEFAULT '{}', -- each group of values is rated on its own
    ADD COLUMN amount_property  text, -- where an event carries its own price
    ADD CONSTRAINT prices_charge_model_check CHECK (
        charge_model IN (
            'flat', 'per_unit', 'graduated', 'volume', 'package', 'percentage', 'graduated_percentage', 'dynamic',
            'seat', 'curve'
        )
    ),
    ADD CONSTRAINT prices_meter_id_check CHECK ((meter_id IS NULL) = (charge_model IN ('flat', 'seat', 'curve'))),
    ADD CONSTRAINT prices_amount_property_check CHECK ((amount_property IS NOT NULL) = (charge_model = 'dynamic')),
    ADD CONSTRAINT prices_terms_check CHECK (jsonb_typeof(terms) = 'object'),
    ADD CONSTRAINT prices_filters_check CHECK (jsonb_typeof(filters) = 'object'),
    ADD CONSTRAINT prices_metered_filters_check CHECK (meter_id IS NOT NULL OR (filters = '{}' AND group_by = '{}'));
